// What close codes ask of a client.

export const TOKEN_EXPIRED = 4501;

/** Whether to connect again after a connection that ended so. 0: it was lost, or never there. */
export function comesBack(code: number): boolean {
  return code === TOKEN_EXPIRED || (code < 4500 && ![1000, 1002, 1007].includes(code));
}
