// What a page gives for a token.

import { expect, test } from "vitest";
import { Tokens } from "../src/tokens";
import { makeToken } from "./fakes";

test.each(["", "<html>502 Bad Gateway</html>", '{"token": "a.b.c"}', { token: "a.b.c" } as unknown as string])(
  "what is no token is refused, and asked for again: %s",
  async (given) => {
    const answers = [given, makeToken()];
    const tokens = new Tokens(() => answers.shift()!);
    await expect(tokens.get()).rejects.toThrow("token: expected a JWT, as text");
    expect(await tokens.get()).toBe(makeToken());
  },
);
