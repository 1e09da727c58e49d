// Takes out of a target what might be a credential. Credentials have no place there, but people put them there.

const MASK = '***';

/** `scheme://name:password@host`, with or without percent-encoding of its signs, anywhere in a path or query. */
const USER_INFO = /(:|%3A)(\/|%2F){2}[^/?#&@]{1,1024}?(@|%40)/gi;
const SECRET_NAME = /passw|secret|token|credential/i;

/** The path or query with user-info and the values of parameters named like a secret masked. Cheap for those that have none. */
export function maskTarget(text: string): string {
  const shown =
    text.includes('@') || text.includes('%40') ? text.replace(USER_INFO, `$1$2$2${MASK}$3`) : text;
  return SECRET_NAME.test(shown) ? maskParameters(shown) : shown;
}

function maskParameters(text: string): string {
  const start = text.indexOf('?');
  if (start === -1) return text;
  const parameters = text
    .slice(start + 1)
    .split('&')
    .map((parameter) => {
      const equals = parameter.indexOf('=');
      return equals !== -1 && SECRET_NAME.test(parameter.slice(0, equals))
        ? `${parameter.slice(0, equals)}=${MASK}`
        : parameter;
    });
  return `${text.slice(0, start)}?${parameters.join('&')}`;
}
