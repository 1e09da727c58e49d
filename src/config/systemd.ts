// Detects whether systemd runs this process as a service.
import { fstatSync } from 'node:fs';
import { type Environment } from './sources.ts';

/**
 * True if systemd started this very process, or if its output goes to the journal. Variables of systemd alone
 * prove nothing: shells of a desktop and jobs of a CI runner inherit them.
 * systemd.exec(5), "Environment variables set or propagated by the service manager"
 */
export function isSystemdService(env: Environment, pid = process.pid): boolean {
  if (env['SYSTEMD_EXEC_PID'] === String(pid)) return true;
  const stream = env['JOURNAL_STREAM'];
  return stream !== undefined && stream !== '' && [1, 2].some((output) => streamOf(output) === stream);
}

/** Device and inode of an open file, in the form of JOURNAL_STREAM. */
function streamOf(output: number): string | undefined {
  try {
    const { dev, ino } = fstatSync(output, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}
