import { verify, X509Certificate } from "node:crypto";
import { damaged, unsupported } from "../bytes/errors.js";

interface SmallFile {
	readonly name: string;
	readonly bytes: Uint8Array;
}

/** Whose key a signature was made with, by a certificate that nobody else has vouched for here. */
export interface Signer {
	readonly subject: string;
	readonly issuer: string;
	/** As OpenSSL writes it, as in "Nov 28 18:40:00 2027 GMT". */
	readonly validTo: string;
	readonly expired: boolean;
	readonly selfSigned: boolean;
}

const HASHES = /^SHA(?:2-)?(1|256|384|512)$/i;

/**
 * Checks the signature of a package's manifest: the line `algorithm(name)= signature` in hexadecimal, and the certificate
 * in PEM after it. Chains of trust are not followed. DSP0243 1.1, 5.1
 *
 * @throws `damaged` where the manifest is not what was signed
 */
export function verifySignature(manifest: SmallFile, { name: file, bytes }: SmallFile, now = new Date()): Signer {
	const text = new TextDecoder().decode(bytes);
	if (/-----BEGIN (?:CMS|PKCS7)-----/.test(text) && !/-----BEGIN CERTIFICATE-----/.test(text)) {
		throw unsupported(`${file} has its signature as CMS, which is not checked`, {
			file,
			hint: "Check it with openssl cms -verify, and add --no-verify.",
		});
	}
	const [, algorithm = "", hex = ""] = /^\s*([\w-]+)\s*\([^)\n]*\)\s*=\s*([0-9a-f]+)\s*$/im.exec(text) ?? [];
	const [pem] = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/.exec(text) ?? [];
	if (hex === "" || pem === undefined) {
		throw damaged(`${file} has no ${hex === "" ? "signature" : "certificate"} in it`, { file });
	}
	const [, bits] = HASHES.exec(algorithm) ?? [];
	if (bits === undefined) throw unsupported(`${file} uses ${algorithm}, which cannot be checked`, { file });
	const certificate = certificateOf(pem, file);
	if (!isSigned(`sha${bits}`, manifest.bytes, certificate, hex)) {
		throw damaged(`${manifest.name} is not what ${file} signs`, {
			file: manifest.name,
			hint: "It was changed after it was signed: get the package again, or add --no-verify to take it as it is.",
		});
	}
	const { subject, issuer, validTo } = certificate;
	return {
		subject: onOneLine(subject),
		issuer: onOneLine(issuer),
		validTo,
		expired: new Date(validTo) < now,
		selfSigned: certificate.checkIssued(certificate),
	};
}

function certificateOf(pem: string, file: string): X509Certificate {
	try {
		return new X509Certificate(pem);
	} catch (cause) {
		throw damaged(`${file} has a certificate that cannot be read`, { file, cause });
	}
}

/** A signature of another length, or of another kind of key, is none. */
function isSigned(hash: string, bytes: Uint8Array, { publicKey }: X509Certificate, hex: string): boolean {
	try {
		return verify(hash, bytes, publicKey, Buffer.from(hex, "hex"));
	} catch {
		return false;
	}
}

const onOneLine = (name: string | undefined) => (name ?? "").split("\n").join(", ");
