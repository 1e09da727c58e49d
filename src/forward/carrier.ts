// The interface between an exchange and the two ways in which a request travels to a node.

/** One request on its way to one node. */
export interface Attempt {
  /** Ends the attempt in any state. No event follows. CouchDB may go on with it (abandoned-read.ts). */
  destroy(): void;
  /**
   * Called after the whole answer. If CouchDB answered without reading the whole body, the rest is not sent.
   */
  finish(): void;
}

/** How an attempt failed before the head of an answer arrived. */
export interface AttemptFailure {
  readonly error: NodeJS.ErrnoException;
  /** False = no connection was established, so no byte was sent. */
  readonly connected: boolean;
  /** True = the connection was reused, so the node may have closed it for being idle. */
  readonly reused: boolean;
}

/** Exactly one of these is called for each attempt that is not destroyed. */
export interface AttemptEvents {
  /** The head of an answer arrived. The listener calls `answer.receive` at once, or ends the attempt. */
  answered(answer: NodeAnswer): void;
  attemptFailed(failure: AttemptFailure): void;
}

/** The answer of a node: its head, and its body while it arrives. */
export interface NodeAnswer {
  readonly status: number;
  /** Names and values in turn, as the node sent them. */
  readonly rawHeaders: readonly string[];
  /** The Host header that the node got. */
  readonly sentHost: string;
  /** True if the request told CouchDB who the caller is. */
  readonly isAuthorized: boolean;
  /** Closes the connection behind this answer, because it may not be where the next answer begins (H3). */
  closeAfter(): void;
  /** Names the receiver of the body. */
  receive(receiver: AnswerReceiver): void;
  pause(): void;
  resume(): void;
}

/** Gets the body of an answer: any number of chunks, then one of the two ends. */
export interface AnswerReceiver {
  chunk(bytes: Buffer): void;
  ended(): void;
  /** The node closed the connection before the end of its answer (M4). */
  brokeOff(): void;
}
