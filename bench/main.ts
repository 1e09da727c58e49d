// `npm run bench`: measures the cost of Couchgate and of alternatives, and prints the results as Markdown.
import { parseArgs } from 'node:util';
import { writeMeasured } from './document.ts';
import { type Group, type Plan } from './group.ts';
import { GROUPS } from './groups/all.ts';
import { machine } from './machine.ts';
import { markdown } from './report.ts';

const USAGE = `usage: npm run bench -- [group …] [--long] [--rounds N] [--seconds N] [--profile FOLDER] [--against FOLDER] [--write]

Without a group, all groups run, which takes about ten minutes. --long uses more rounds, more cases and larger data.
--profile writes V8 CPU profiles of Couchgate into a folder, and adds a table of its CPU time.
--against also measures the Couchgate of another checkout in the same rounds (group ceiling).
--write puts the tables into docs/performance/. COUCHDB_HOME is the folder of an installed CouchDB; some groups need it.

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
      against: { type: 'string' },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const unknown = positionals.filter((name) => !GROUPS.some((group) => group.name === name));
  if (values.help || unknown.length > 0) {
    process.stderr.write(unknown.length > 0 ? `unknown group ${unknown.join(', ')}\n${USAGE}` : USAGE);
    process.exitCode = unknown.length > 0 ? 1 : 0;
    return;
  }
  const plan = {
    long: values.long,
    rounds: Number(values.rounds ?? (values.long ? 9 : 5)),
    seconds: Number(values.seconds ?? (values.long ? 5 : 2)),
    profiles: values.profile,
    against: values.against,
    note: (line: string) => process.stderr.write(`bench: ${line}\n`),
  };
  const command = `npm run bench -- ${process.argv
    .slice(2)
    .filter((word) => word !== '--write')
    .join(' ')}`.trim();
  for (const group of GROUPS.filter(({ name }) => positionals.length === 0 || positionals.includes(name))) {
    const text = `${machine()}; \`${command}\`\n\n${await run(group, plan)}`;
    process.stdout.write(`## ${group.title}\n\n${text}\n`);
    if (values.write) writeMeasured(group, text);
  }
}

await main();
