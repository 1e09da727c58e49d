// Interface of the operational log (pino, stderr).

/** `fields` never contain headers, bodies or credentials. */
export interface OperationalLog {
  /** Lowest level that is written; a reload may change it. */
  level?: string;
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
