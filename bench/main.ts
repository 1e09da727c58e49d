// `npm run bench`: measures what Couchgate costs beside what users would pick instead, and prints it as Markdown.
import { parseArgs } from 'node:util';
import { replaceMeasured } from './document.ts';
import { type Group, type Plan } from './group.ts';
import { GROUPS } from './groups/all.ts';
import { machine } from './machine.ts';
import { markdown } from './report.ts';

const USAGE = `usage: npm run bench -- [group …] [--long] [--rounds N] [--seconds N] [--profile FOLDER] [--write]

Without a group all of them run, which takes some ten minutes; --long takes more rounds, more cases and larger data.
--profile writes V8 CPU profiles of Couchgate into a folder, and adds where its time went to the table.
--write puts the tables into docs/performance.md. COUCHDB_HOME names an installed CouchDB for the groups that need a real one.

groups:
${GROUPS.map(({ name, title }) => `  ${name.padEnd(12)} ${title}`).join('\n')}
`;

async function run(group: Group, base: Omit<Plan, 'atEnd'>): Promise<string> {
  const ends: (() => Promise<void> | void)[] = [];
  try {
    base.note(`${group.name}: ${group.title}`);
    return markdown(await group.run({ ...base, atEnd: (end) => ends.push(end) }));
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      long: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      profile: { type: 'string' },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const unknown = positionals.filter((name) => !GROUPS.some((group) => group.name === name));
  if (values.help || unknown.length > 0) {
    process.stderr.write(unknown.length > 0 ? `no group ${unknown.join(', ')}\n${USAGE}` : USAGE);
    process.exitCode = unknown.length > 0 ? 1 : 0;
    return;
  }
  const plan = {
    long: values.long,
    rounds: Number(values.rounds ?? (values.long ? 9 : 5)),
    seconds: Number(values.seconds ?? (values.long ? 5 : 2)),
    profiles: values.profile,
    note: (line: string) => process.stderr.write(`bench: ${line}\n`),
  };
  const command = `npm run bench -- ${process.argv
    .slice(2)
    .filter((word) => word !== '--write')
    .join(' ')}`.trim();
  for (const group of GROUPS.filter(({ name }) => positionals.length === 0 || positionals.includes(name))) {
    const text = `${machine()}; \`${command}\`\n\n${await run(group, plan)}`;
    process.stdout.write(`## ${group.title}\n\n${text}\n`);
    if (values.write) replaceMeasured(group.name, text);
  }
}

await main();
