import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { POSIX_CASES } from './cases/all.ts';
import { type Capability, execute, type PosixCase } from './posix-case.ts';
import { type ToolCase, toolCases } from './tools.ts';

export interface PosixTarget {
  readonly label: string;
  /** A directory of the filesystem under test; asked for when the tests run. */
  directory(): string;
  readonly lacks?: ReadonlySet<Capability>;
}

async function missingCommand(commands: readonly string[]): Promise<string | undefined> {
  for (const command of commands) {
    const { code } = await execute('sh', ['-c', `command -v ${command}`]);
    if (code !== 0) return command;
  }
  return undefined;
}

/** Why a case cannot run on what lacks these; undefined if it can. */
export function reasonToSkip(
  posixCase: Pick<PosixCase, 'needs' | 'root'>,
  lacks: ReadonlySet<Capability>,
): string | undefined {
  const lacking = posixCase.needs?.find((need) => lacks.has(need));
  if (lacking !== undefined) return `no ${lacking} here`;
  if (posixCase.root === true && process.getuid?.() !== 0) return 'needs root';
  return undefined;
}

async function inDirectory(path: string, run: (dir: string) => Promise<void>): Promise<void> {
  await mkdir(path, { mode: 0o755 });
  await run(path);
  await rm(path, { recursive: true, force: true });
}

/** Defines one test per case, each in a directory of its own. */
export function definePosixSuite({ label, directory, lacks = new Set() }: PosixTarget): void {
  describe(`POSIX: ${label}`, () => {
    POSIX_CASES.forEach((posixCase, index) => {
      const skip = reasonToSkip(posixCase, lacks) ?? false;
      it(posixCase.name, { skip }, async (context) => {
        const missing = await missingCommand(posixCase.commands ?? []);
        if (missing !== undefined) return context.skip(`${missing} is not installed`);
        await inDirectory(join(directory(), `case-${index}`), (dir) => posixCase.run(dir));
      });
    });
  });
}

/** The same for programs that people use. */
export function defineToolSuite(
  { label, directory, lacks = new Set() }: PosixTarget,
  cases: readonly ToolCase[] = toolCases,
): void {
  describe(`tools: ${label}`, () => {
    cases.forEach((toolCase, index) => {
      const skip = reasonToSkip(toolCase, lacks) ?? false;
      it(toolCase.name, { skip }, async (context) => {
        const missing = await missingCommand(toolCase.requires);
        if (missing !== undefined) return context.skip(`${missing} is not installed`);
        await inDirectory(join(directory(), `tool-${index}`), (dir) => toolCase.run(dir));
      });
    });
  });
}
