export { type LocalFile, openFile } from "./file.js";
export { outputFolder } from "./folder.js";
export { folderNeighbours } from "./neighbours.js";
export { removePartialOutputs } from "./partial.js";
export { fileSink, type OutputOptions } from "./sink.js";
export { isTar, readTar, safeMemberName, type TarMember, tarHeader } from "./tar.js";
