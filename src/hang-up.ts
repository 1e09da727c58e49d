// Receives SIGHUP from the first moment of a process: it means reload, or that the terminal was closed.
import { isatty } from 'node:tty';

const STDIN = 0;

/**
 * The handler of SIGHUP. Create it before anything that takes time: the default action of the signal ends the
 * process, and systemd does not start again what ended by it (`Restart=on-failure`, systemd.service(5)).
 */
export class HangUps {
  readonly #hadTerminal = isatty(STDIN);
  #isPending = false;
  #reload: (() => void) | undefined;

  constructor() {
    process.on('SIGHUP', () => this.#receive());
  }

  /** Calls `reload` for each SIGHUP from now on, and at once if there was one before. */
  onReload(reload: () => void): void {
    this.#reload = reload;
    if (this.#isPending) reload();
  }

  #receive(): void {
    // Without its terminal, nobody could end Couchgate by Ctrl-C, and it would keep its port.
    if (this.#hadTerminal && !isatty(STDIN)) process.kill(process.pid, 'SIGTERM');
    else if (this.#reload === undefined) this.#isPending = true;
    else this.#reload();
  }
}
