/** The room view's scene: three.js is loaded once, after the page stands; null until then, or without WebGL. */

import type { RoomScene } from "./scene3d";

export const roomScene: { current: RoomScene | null } = { current: null };
