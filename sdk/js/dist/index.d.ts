import type { Handler, Options, State } from "./types";
export type { Codec, Handler, Keep, Message, Options, State, Transport, WebSocketClass } from "./types";
/**
 * Receives what a user is pushed, from now until `close`, over as many connections as it takes.
 *
 * With an inbox reliable messages come in order, none twice; each is handed over when the handlers of the one
 * before have resolved, and is acknowledged when its own have. A handler that throws is offered the message again.
 */
export declare class Pushgate {
    #private;
    /**
     * `url` is like `wss://push.example/ws`, or `/ws` on the page's own origin. Connects once the script that made it
     * has run: handlers that it names miss nothing. Throws TypeError for options that are not right.
     */
    constructor(url: string, options: Options);
    get state(): State;
    /** Have messages of an event, or of all with `*`, handed to a handler. */
    on(event: string, handler: Handler): this;
    off(event: string, handler: Handler): this;
    /** Leave for good. Nothing is handed over any more; what is in a handler now still counts. */
    close(): void;
}
