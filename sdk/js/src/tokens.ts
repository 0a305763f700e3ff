// The page's token: when to ask for another one.

const MARGIN = 30; // seconds that a token has to be good for to be used again
const JWT = /^[\w+/=-]+(\.[\w+/=-]+){2}$/;

export interface Claims {
  sub?: string;
  tenant?: string;
  exp?: number;
  iat?: number;
}

/** Return what a JWT says; it is our own, and the gateway checks it. */
export function readClaims(token: string): Claims {
  try {
    const bytes = atob(token.split(".")[1]!.replaceAll("-", "+").replaceAll("_", "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0))));
  } catch {
    return {}; // the gateway says what is wrong with it
  }
}

/** Keeps a token until it is about to expire, or was refused. */
export class Tokens {
  #source: () => string | Promise<string>;
  #token = "";
  #until = 0; // ms since 1970
  #refused = "";

  constructor(source: () => string | Promise<string>) {
    this.#source = source;
  }

  /** Return a token that is good for a while. Throws what the page's function throws. */
  async get(): Promise<string> {
    return this.#token && this.left > MARGIN ? this.#token : this.renew();
  }

  /** Ask the page for a new one. Throws what its function throws, and TypeError for what is none, as a proxy's page. */
  async renew(): Promise<string> {
    const token = await this.#source();
    if (!JWT.test(token)) throw new TypeError("token: expected a JWT, as text");
    this.#token = token;
    const { exp = Infinity, iat } = readClaims(this.#token);
    const now = Date.now() / 1000;
    // Where this machine's clock is too far ahead, the token's own length tells more.
    const seconds = exp <= now && iat !== undefined ? exp - iat : exp - now;
    this.#until = Date.now() + seconds * 1000;
    return this.#token;
  }

  /** Seconds that the token is still good for. */
  get left(): number {
    return (this.#until - Date.now()) / 1000;
  }

  /** The gateway said that the token expired. */
  refuse(): void {
    this.#refused = this.#token;
    this.#until = 0;
  }

  /** Whether this is a token that the gateway refused. */
  isRefused(token: string): boolean {
    return token === this.#refused;
  }
}
