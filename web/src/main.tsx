import { render } from "preact";

import { App } from "./App";
import { listenToKeys } from "./room/controls";
import { attachProbe } from "./room/probe";
import { start } from "./room/room";
import { listenForTones } from "./room/tone";
import { watchReference } from "./room/thumbnails";
import "./styles/room.css";
import "./styles/monitor.css";
import "./styles/panels.css";
import "./styles/dose.css";
import "./styles/guidance.css";

const place = document.getElementById("room");
if (place === null) throw new Error("the page has no place for the room");
render(<App />, place);
listenToKeys();
listenForTones();
watchReference();
attachProbe();
start();
