// For a script tag: `Pushgate` is there for the page's scripts.

import { Pushgate } from "./index";

Object.assign(globalThis, { Pushgate });
