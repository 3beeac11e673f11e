// The whole of the client for programs: `import { Client } from "@switchhook/client"`.
export { Client } from "./client.js";
export { Call } from "./call.js";
export { dialable, SUBPROTOCOL } from "./protocol.js";
export { isPending, LOCAL_CAUSES } from "./state.js";
