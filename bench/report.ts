// Formats results as Markdown: tables, and targets with their results.
import { type Finding, type Section, type Table } from './group.ts';
import { type Result } from './rounds.ts';

/** Builds the table of interleaved rounds, with one CPU column per process. */
export function resultTable(results: readonly Result[], baseline: string, caption?: string): Table {
  const processes = [...new Set(results.flatMap((result) => Object.keys(result.cpu)))];
  return {
    ...(caption === undefined ? {} : { caption }),
    columns: [
      ...['', 'requests/s', 'lowest … highest', `ratio to ${baseline}`, 'p50 ms', 'p99 ms'],
      ...processes.map((process) => `CPU s/1000: ${process}`),
    ],
    rows: results.map((result) => [
      result.name,
      whole(result.perSecond),
      `${whole(result.lowest)} … ${whole(result.highest)}`,
      result.ratio.toFixed(2),
      result.p50.toFixed(2),
      result.p99.toFixed(2),
      ...processes.map((process) => result.cpu[process]?.toFixed(3) ?? '–'),
    ]),
  };
}

/** Returns the Markdown of a section: text, tables and targets. */
export function markdown(section: Section): string {
  const parts = [section.text, ...section.tables.map(tableText)];
  if (section.findings.length > 0) parts.push(tableText(findingsTable(section.findings)));
  return `${parts.join('\n\n')}\n`;
}

function findingsTable(findings: readonly Finding[]): Table {
  return {
    columns: ['target', 'measured', 'holds'],
    rows: findings.map(({ target, measured, holds }) => [
      target,
      measured,
      holds === undefined ? 'not shown here' : holds ? 'yes' : '**no**',
    ]),
  };
}

function tableText({ caption, columns, rows }: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = `| ${columns.map((_, at) => (at === 0 ? '---' : '--:')).join(' | ')} |`;
  return [...(caption === undefined ? [] : [`${caption}:`, '']), line(columns), rule, ...rows.map(line)].join(
    '\n',
  );
}

/** Formats a number without decimals, with spaces between thousands. */
export function whole(value: number): string {
  return Math.round(value).toLocaleString('en').replaceAll(',', ' ');
}

/** Formats CPU seconds per 1,000 requests as microseconds per request. */
export function microseconds(secondsPerThousand: number | undefined): string {
  return secondsPerThousand === undefined ? '–' : `${(secondsPerThousand * 1000).toFixed(0)} µs`;
}
