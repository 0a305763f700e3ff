/** A pushed message. `offset` is there for reliable ones alone; bytes come as a Uint8Array. */
export interface Message {
    id: string;
    event: string;
    data: unknown;
    /** When the gateway accepted it, in ms since 1970. */
    time: number;
    offset?: number;
    /** Whether the gateway sent it before, in vain. */
    resent?: boolean;
}
/** Called with each message; a reliable one counts as handled when what it returns has resolved. */
export type Handler = (message: Message) => unknown;
export type Transport = "websocket" | "sse";
/**
 * How the connection is.
 *
 * `connected`: `missed` says that messages of the inbox are gone for this page: load your state anew.
 * `waiting`: the next try is at `until`, in ms since 1970. `closed`: it stays so; make a new Pushgate to come back.
 * `code` is the WebSocket close code, or 0 where there was none; `reason` is for people.
 */
export type State = {
    name: "connecting";
    transport: Transport;
} | {
    name: "connected";
    transport: Transport;
    session: string;
    user: string;
    missed: boolean;
} | {
    name: "waiting";
    until: number;
    code: number;
    reason: string;
} | {
    name: "closed";
    code: number;
    reason: string;
};
/** How messages are written on a WebSocket. */
export interface Codec {
    protocol: string;
    encode(message: object): string | Uint8Array<ArrayBuffer>;
    decode(data: string | ArrayBuffer): FromServer;
}
/** What connects: as browsers have it, or the package `ws`, whose types differ in what handlers get. */
export type WebSocketClass = new (url: URL, protocols: string[]) => {
    binaryType: string;
    readonly readyState: number;
    onopen: any;
    onmessage: any;
    onclose: any;
    onerror: any;
    send(data: any): void;
    close(code?: number): void;
};
/** Where something is kept by name: as `localStorage` does. */
export type Keep = Pick<Storage, "getItem" | "setItem">;
export interface Options {
    /** Returns a token, called whenever a new one is needed. When it throws, it is called again after a while. */
    token: () => string | Promise<string>;
    /** Whether reliable messages wait for this client while it is away. Default: whether `device` is given. */
    inbox?: boolean;
    /** The client's stable name for itself. Default: one made by chance and kept in the browser. */
    device?: string;
    /** One connection and one device for all tabs of the origin (the default), or a device a tab. Of an inbox only. */
    shared?: boolean;
    /** Where a new device begins: with what is still kept, or with what comes. Default: `now` for a device a tab. */
    from?: "oldest" | "now";
    /** How messages are written on a WebSocket. Default: JSON. */
    codec?: Codec;
    /** What connects, where there is no global WebSocket, or another one is wanted. */
    WebSocket?: WebSocketClass;
    /** Where the place of a device, and its name, are kept. Default: `localStorage`; memory where there is none. */
    storage?: Keep;
    /** Told how the connection is, whenever that changes. */
    onState?: (state: State) => void;
    /** Told what a handler threw, and what the gateway did not like. Default: `console.error`. */
    onError?: (error: unknown) => void;
}
/** The gateway's first word. `cursor` and `epoch` are there with an inbox alone. */
export interface Welcome {
    type: "welcome";
    session: string;
    user: string;
    ping: number;
    missed?: boolean;
    cursor?: number;
    epoch?: string;
    spread?: number;
}
export type FromServer = Welcome | ({
    type: "message";
    encoding?: string;
} & Message) | {
    type: "pong";
    spread?: number;
} | {
    type: "error";
    code: string;
    message: string;
} | {
    type: "reconnect";
    after: number;
};
/** Why a connection ended; `after` is in how many seconds the gateway wants the next. */
export interface Ending {
    code: number;
    reason: string;
    after?: number | undefined;
}
/** What a connection tells of itself. After `closed` it says nothing more. */
export interface Hears {
    opened(): void;
    /** Called without a message where there was a sign of life alone. */
    heard(message?: FromServer): void;
    closed(ending: Ending): void;
}
export type FromClient = {
    type: "ping";
} | {
    type: "ack";
    offset: number;
} | {
    type: "refresh";
    token: string;
};
/** An open connection. After `close` it says nothing more. */
export interface Link {
    send(message: FromClient): void;
    close(): void;
}
/** Connects to an absolute URL with its query. */
export type Open = (url: URL, token: string, hears: Hears) => Link;
/** Offsets up to the cursor are handled; they are of an epoch. */
export interface Place {
    cursor: number;
    epoch: string;
}
