// The operational log as every folder sees it: words for whoever runs Couchgate. Where it is written is audit/log.ts's business.

/** `fields` never hold headers, bodies or credentials. */
export interface OperationalLog {
  /** The least level that is written; a reload may set it. */
  level?: string;
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
