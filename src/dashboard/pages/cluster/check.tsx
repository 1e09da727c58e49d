// A line that passes, fails, or is worth a look.
import { type ReactNode } from 'react';

type Outcome = 'passed' | 'failed' | 'advice';

const SIGNS: Readonly<Record<Outcome, readonly [sign: string, className: string, words: string]>> = {
  passed: ['✓', 'good', 'Passes: '],
  failed: ['✗', 'bad', 'Fails: '],
  advice: ['!', 'warn', 'Worth a look: '],
};

interface Props {
  readonly outcome: Outcome;
  /** What to do. */
  readonly below?: ReactNode;
  readonly children: ReactNode;
}

export function Check({ outcome, below, children }: Props) {
  const [sign, className, words] = SIGNS[outcome];
  return (
    <li>
      <span className={className} aria-hidden="true">
        {sign}
      </span>
      <span className="unseen">{words}</span>
      <div>
        {children}
        {below !== undefined && <span className="below">{below}</span>}
      </div>
    </li>
  );
}
