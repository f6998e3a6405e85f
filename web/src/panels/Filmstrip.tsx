/** Stored images and runs in the order they were made. */

import { useEffect, useRef } from "preact/hooks";

import { showStored, toggleReplay } from "../room/controls";
import { thumbnails } from "../room/thumbnails";
import * as s from "../room/state";

export function Filmstrip() {
  const now = s.status.value;
  const strip = useRef<HTMLDivElement>(null);
  const stored = now?.stored ?? [];
  const runs = now?.runs ?? [];
  const count = stored.length + runs.length;
  useEffect(() => {
    if (strip.current !== null) strip.current.scrollLeft = strip.current.scrollWidth;
  }, [count]);
  const may = s.mayAct.value;
  const tiles = runs.map((run) => (
    <div class="film-run" key={`run ${run.event_number}`}>
      <button type="button" class={`tile tile-run ${now?.replay.playing === true && Number(now.replay.clip) === run.event_number ? "is-on" : ""}`} disabled={!may}
        aria-description={`Replay run ${run.event_number}, ${run.frames} images, ${run.time}`} onClick={() => toggleReplay(run.event_number)}>
        <span class="tile-play" aria-hidden="true">▶</span>
        <span class="tile-text"><b>run {run.event_number}</b> <span>{run.frames} images</span> <time>{run.time}</time></span>
      </button>
      {stored.filter((image) => image.event_number === run.event_number).map((image) => <StoredTile key={image.id} id={image.id} />)}
    </div>
  ));
  const loose = stored.filter((image) => !runs.some((run) => run.event_number === image.event_number));
  return (
    <nav class="film" aria-label="Stored images and runs">
      <button type="button" class="film-step" aria-label="Previous stored image" aria-keyshortcuts="," disabled={!may || stored.length === 0}
        onClick={() => showStored({ step: -1 })}>‹</button>
      <div class="film-strip" ref={strip}>
        {count === 0 && <p class="film-empty">Runs and stored images of this exam line up here.</p>}
        {tiles}
        {loose.map((image) => <StoredTile key={image.id} id={image.id} />)}
      </div>
      <button type="button" class="film-step" aria-label="Next stored image" aria-keyshortcuts="." disabled={!may || stored.length === 0}
        onClick={() => showStored({ step: 1 })}>›</button>
    </nav>
  );
}

function StoredTile({ id }: { id: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const image = s.status.value?.stored.find((stored) => stored.id === id);
  const picture = thumbnails.value.get(id);
  useEffect(() => {
    const c = canvas.current;
    if (c !== null && picture !== undefined) c.getContext("2d")?.putImageData(picture, 0, 0);
  }, [picture]);
  if (image === undefined) return null;
  const on = s.shownStored.value === id;
  return (
    <button type="button" class={`tile ${on ? "is-on" : ""}`} aria-pressed={on} disabled={!s.mayAct.value}
      aria-description={`Show image ${image.id}, ${image.label}, ${image.time}`} onClick={() => showStored({ id })}>
      {picture !== undefined && <canvas ref={canvas} width={picture.width} height={picture.height} />}
      <span class="tile-text"><b>image {image.id}</b> <span>{image.label}</span> <time>{image.time}</time></span>
    </button>
  );
}
