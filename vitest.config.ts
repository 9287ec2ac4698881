import { defineConfig } from "vitest/config";

export default defineConfig({
	test: {
		reporters: ["default", "./test/support/skips.ts"],
		projects: [
			{
				test: {
					name: "unit",
					include: ["test/**/*.test.ts"],
					exclude: ["test/boot/**"],
					setupFiles: ["test/support/setup.ts"],
					testTimeout: 60_000,
				},
			},
			{
				test: {
					name: "boot",
					include: ["test/boot/**/*.test.ts"],
					setupFiles: ["test/support/setup.ts"],
					testTimeout: 600_000,
					hookTimeout: 900_000,
					fileParallelism: false,
				},
			},
		],
	},
});
