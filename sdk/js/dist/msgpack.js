import{decode as r,encode as o}from"@msgpack/msgpack";const a={protocol:"pushgate.v1.msgpack",encode:e=>o(e),decode:e=>r(e)};export{a as msgpack};
