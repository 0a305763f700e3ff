import type { Codec } from "./types";
export declare const msgpack: Codec;
