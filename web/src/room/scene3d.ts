/**
 * The small view of the room: C-arm, beam, table and patient. three.js is loaded after the first picture can be shown.
 * The world is the equipment frame (x left of a head-first supine patient, y down, z to the head end), in mm.
 */

import {
  AmbientLight, BufferAttribute, BufferGeometry, Color, CylinderGeometry, DirectionalLight, DoubleSide, BoxGeometry, Group,
  CatmullRomCurve3, Mesh, MeshBasicMaterial, MeshLambertMaterial, PerspectiveCamera, Scene, SphereGeometry, TorusGeometry,
  TubeGeometry, Vector3, WebGLRenderer, Matrix4,
} from "three";

import type { BodyShape, NeedleStatus, RoomGeometry, Table, Vec3 } from "../link/types";
import { Body3D } from "./body3d";
import type { SkinLook } from "./skinmap3d";
import type { SkinView } from "./skinmapdata";

export interface RoomSnapshot {
  readonly room: RoomGeometry;
  readonly table: Table;
  readonly detectorMm: number;
  readonly exposing: boolean;
  readonly needle: NeedleStatus | null;
  readonly catheterMm: readonly Vec3[] | null;
  readonly markerMm: Vec3 | null;
  readonly rulerMm: readonly Vec3[] | null;
  /** Entry and target of the chosen path; null without one. */
  readonly pathMm: readonly [Vec3, Vec3] | null;
  readonly shape: BodyShape | null;
  readonly near: boolean;
  /** Null while no skin dose is shown. */
  readonly skin: SkinLook | null;
}

/** Where the peak of the skin dose is seen. */
export interface PeakSeen {
  readonly x: number;
  readonly y: number;
  /** Whether the skin there faces the viewer; else the body is in front of it. */
  readonly facing: boolean;
  /** Whether it is right of the middle: its number then stands on the left. */
  readonly right: boolean;
}

/** What a drag on the needle asks for. */
export interface NeedleDrag {
  readonly advance_mm: number;
  readonly steer_x_deg: number;
  readonly steer_y_deg: number;
}

const METAL = new MeshLambertMaterial({ color: 0x8a97a3 });
const DARK = new MeshLambertMaterial({ color: 0x3c4650 });
const STEEL = new MeshBasicMaterial({ color: 0xe8f7ff, depthTest: false });
const HUB = new MeshLambertMaterial({ color: 0x4cc2ff, depthTest: false });
const LEAD = new MeshLambertMaterial({ color: 0xffb020, depthTest: false });
const PLASTIC = new MeshBasicMaterial({ color: 0xffd9a0, depthTest: false });
const PATH = new MeshBasicMaterial({ color: 0x4cc2ff, transparent: true, opacity: 0.7, depthTest: false });
const RULER = new MeshBasicMaterial({ color: 0xd7dde3 });
const PANEL = new MeshLambertMaterial({ color: 0x4cc2ff });

const vec = (v: Vec3): Vector3 => new Vector3(v[0], v[1], v[2]);
const rad = (deg: number | null): number => ((deg ?? 0) * Math.PI) / 180;

/** Where a pointer takes hold: of the needle's hub. */
const REACH_PX = 26;
const NEAR_MM = 620;
const AIM_MM = 120;
/** Drawn thicker than it is, to be seen at all. */
const NEEDLE_MM = 1.4;
const CATHETER_MM = 1.0;
const RULER_MM = 2.0;
const PATH_MM = 0.9;

export class RoomScene {
  private readonly scene = new Scene();
  private readonly camera = new PerspectiveCamera(32, 1, 100, 12000);
  private readonly renderer: WebGLRenderer;
  private readonly carm = new Group();
  private readonly tableGroup = new Group();
  private readonly body = new Body3D();
  private readonly source: Mesh;
  private readonly detector: Mesh;
  private readonly arc: Mesh;
  private readonly top: Mesh;
  private readonly foot = new Mesh(new BoxGeometry(320, 620, 420), DARK);
  private readonly beam: Mesh<BufferGeometry, MeshBasicMaterial>;
  private readonly needleLine = new Mesh(new BufferGeometry(), STEEL);
  private readonly hub = new Mesh(new SphereGeometry(6, 16, 12), HUB);
  private readonly catheter = new Mesh(new BufferGeometry(), PLASTIC);
  private readonly ruler = new Mesh(new BufferGeometry(), RULER);
  private readonly path = new Mesh(new BufferGeometry(), PATH);
  private readonly target = new Mesh(new SphereGeometry(4, 16, 12), PATH);
  private readonly marker = new Mesh(new SphereGeometry(4, 16, 12), LEAD);
  /** Seen from below, the room's lamp does not reach the skin. */
  private readonly headlamp = new DirectionalLight(0xffffff, 1.6);
  private last: RoomSnapshot | null = null;
  private key = "";
  private aim: Vector3 | null = null;

  constructor(canvas: HTMLCanvasElement) {
    this.renderer = new WebGLRenderer({ canvas, antialias: true, alpha: false, powerPreference: "low-power" });
    this.scene.background = new Color(0x14181d);
    this.scene.add(new AmbientLight(0xffffff, 1.5));
    this.headlamp.visible = false;
    this.scene.add(this.headlamp, this.headlamp.target);
    const lamp = new DirectionalLight(0xffffff, 2.2);
    lamp.position.set(-1500, -3000, -800);
    this.scene.add(lamp);
    this.camera.up.set(0, -1, 0);
    this.camera.position.set(-2250, -1600, -2350);
    this.camera.lookAt(60, 60, -60);

    this.source = new Mesh(new CylinderGeometry(85, 110, 210, 20), DARK);
    this.detector = new Mesh(new BoxGeometry(1, 1, 1), PANEL);
    this.arc = new Mesh(new TorusGeometry(1, 0.075, 8, 40, Math.PI), METAL);
    this.beam = new Mesh(new BufferGeometry(), new MeshBasicMaterial({ color: 0x4cc2ff, transparent: true, opacity: 0.12, side: DoubleSide, depthWrite: false }));
    this.carm.add(this.source, this.detector, this.arc, this.beam);
    this.top = new Mesh(new BoxGeometry(500, 35, 2300), METAL);
    this.top.position.set(0, 135, -150);
    this.tableGroup.add(this.top, this.body.group);
    this.foot.position.set(0, 480, -950);
    // Drawn over everything: inside the patient they are what is looked for.
    for (const thing of [this.path, this.target, this.needleLine, this.catheter, this.hub, this.marker]) thing.renderOrder = 2;
    this.scene.add(this.carm, this.tableGroup, this.foot, this.needleLine, this.catheter, this.ruler, this.hub, this.marker, this.path, this.target);
  }

  resize(width: number, height: number): void {
    if (width < 1 || height < 1) return;
    this.renderer.setPixelRatio(Math.min(2, window.devicePixelRatio));
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    // The table must fit across, however narrow the view.
    this.camera.fov = (2 * Math.atan(Math.tan((20 * Math.PI) / 180) / Math.min(this.camera.aspect, 1.55)) * 180) / Math.PI;
    this.camera.updateProjectionMatrix();
    this.renderer.render(this.scene, this.camera);
  }

  /** Draw `now` if it looks different from what was drawn last. */
  show(now: RoomSnapshot): void {
    const key = JSON.stringify([now.room, now.table, now.detectorMm, now.exposing, now.needle?.path_mm, now.catheterMm, now.markerMm, now.rulerMm, now.pathMm, now.near, now.shape?.uid, now.skin?.shape.uid, now.skin?.doses.uid, now.skin?.doses.revision, now.skin?.view]);
    if (key === this.key) return;
    this.key = key;
    this.last = now;
    this.body.wear(now.shape);
    this.body.lookThrough(now.near, now.skin);
    this.placeCarm(now);
    this.placeTable(now);
    this.placeNeedle(now);
    this.look(now);
    this.renderer.render(this.scene, this.camera);
  }

  dispose(): void {
    this.renderer.dispose();
  }

  private placeCarm({ room, detectorMm, exposing }: RoomSnapshot): void {
    const from = vec(room.source_mm);
    const to = vec(room.detector_center_mm);
    const along = to.clone().sub(from).normalize();
    const u = vec(room.u);
    const v = vec(room.v);
    this.source.position.copy(from).addScaledVector(along, -60);
    this.source.quaternion.setFromUnitVectors(new Vector3(0, 1, 0), along);
    const basis = new Matrix4().makeBasis(u, v.clone().negate(), along);
    this.detector.quaternion.setFromRotationMatrix(basis);
    this.detector.scale.set(detectorMm * 1.15, detectorMm * 1.15, 70);
    this.detector.position.copy(to).addScaledVector(along, 35);
    // The C joins source and detector in the plane of the beam and of its back: u for a mobile one, v for a ceiling's.
    const middle = from.clone().add(to).multiplyScalar(0.5);
    const radius = from.distanceTo(to) / 2 + 40;
    const back = room.c_back === undefined ? u.clone().negate() : vec(room.c_back);
    this.arc.quaternion.setFromRotationMatrix(new Matrix4().makeBasis(along.clone().negate(), back, along.clone().negate().cross(back)));
    this.arc.position.copy(middle);
    this.arc.scale.setScalar(radius);
    this.placeBeam(from, to, u, v, detectorMm / 2);
    this.beam.material.color.set(exposing ? 0xffd21f : 0x4cc2ff);
    this.beam.material.opacity = exposing ? 0.4 : 0.12;
  }

  private placeBeam(from: Vector3, to: Vector3, u: Vector3, v: Vector3, half: number): void {
    const corners = ([[-1, -1], [1, -1], [1, 1], [-1, 1]] as const).map(([a, b]) =>
      to.clone().addScaledVector(u, a * half).addScaledVector(v, b * half),
    );
    const points: number[] = [];
    corners.forEach((corner, i) => {
      const next = corners[(i + 1) % 4];
      if (next !== undefined) points.push(...from.toArray(), ...corner.toArray(), ...next.toArray());
    });
    this.beam.geometry.setAttribute("position", new BufferAttribute(new Float32Array(points), 3));
    this.beam.geometry.computeBoundingSphere();
  }

  private placeTable({ room, table }: RoomSnapshot): void {
    this.tableGroup.position.set(table.lateral_mm ?? 0, -(table.height_mm ?? 0), table.longitudinal_mm ?? 0);
    // As geometry/table.py nests them: cradle innermost, then tilt, then yaw.
    this.tableGroup.rotation.set(rad(table.tilt_deg), rad(table.yaw_deg), -rad(table.cradle_deg), "YXZ");
    const down = this.body.lie(room.patient_position);
    // A patient on the side is deeper than one on the back: the table top stays under the body.
    this.top.position.y = 17 + down;
  }

  private placeNeedle({ needle, catheterMm, markerMm, rulerMm, pathMm }: RoomSnapshot): void {
    lay(this.path, pathMm, PATH_MM);
    this.target.visible = pathMm !== null;
    if (pathMm !== null) this.target.position.set(...pathMm[1]);
    lay(this.catheter, catheterMm, CATHETER_MM);
    lay(this.ruler, rulerMm, RULER_MM);
    lay(this.needleLine, needle?.path_mm ?? null, NEEDLE_MM);
    this.hub.visible = needle !== null;
    this.marker.visible = markerMm !== null;
    if (markerMm !== null) this.marker.position.set(...markerMm);
    if (needle !== null) this.hub.position.set(...needle.hub_mm);
  }

  /** The whole room from its corner, or the back from near, at the needle. */
  private look(now: RoomSnapshot): void {
    const { near, needle, catheterMm, markerMm, room } = now;
    const view = near ? null : (now.skin?.view ?? null);
    this.camera.up.set(0, -1, 0);
    for (const part of [this.carm, this.top, this.foot]) part.visible = view === null;
    this.headlamp.visible = view !== null;
    if (view !== null) {
      this.lookAtSkin(view);
      return;
    }
    const at = near ? this.nearAim(vec(needle?.entry_mm ?? catheterMm?.at(-1) ?? markerMm ?? room.isocenter_mm)) : new Vector3(60, 60, -60);
    if (!near) this.aim = null;
    const from = near ? at.clone().add(new Vector3(-0.62, -0.55, -0.62).multiplyScalar(NEAR_MM)) : new Vector3(-2250, -1600, -2350);
    this.camera.position.copy(from);
    this.camera.near = near ? 20 : 100;
    this.camera.lookAt(at);
    this.camera.updateProjectionMatrix();
    for (const part of [this.source, this.detector, this.arc]) part.visible = !near;
  }

  /** The bare body: what stands between the eye and the skin, and what is drawn through it, is left out. */
  private lookAtSkin(view: SkinView): void {
    for (const part of [this.needleLine, this.catheter, this.ruler, this.hub, this.marker, this.path, this.target]) part.visible = false;
    const eye = this.body.dosed.eye(view);
    this.camera.position.copy(eye.from);
    this.camera.up.copy(eye.up);
    this.headlamp.position.copy(eye.from);
    this.headlamp.target.position.copy(eye.at);
    this.camera.near = 20;
    this.camera.lookAt(eye.at);
    this.camera.updateProjectionMatrix();
  }

  /** Where the peak of the skin dose is on the canvas, px; null without one. */
  peakSeen(): PeakSeen | null {
    const peak = this.body.dosed.peak();
    const canvas = this.renderer.domElement;
    if (peak === null) return null;
    const facing = this.camera.position.clone().sub(peak.at).dot(peak.out) > 0;
    const at = this.seen(peak.at, canvas.clientWidth, canvas.clientHeight);
    return { ...at, facing, right: at.x > canvas.clientWidth / 2 };
  }

  /** Near, the view stands still while what it looks at is dragged a little. */
  private nearAim(wanted: Vector3): Vector3 {
    if (this.aim === null || this.aim.distanceTo(wanted) > AIM_MM) this.aim = wanted;
    return this.aim;
  }

  /** The line of sight through a place of the canvas (0 to 1), equipment frame. */
  ray(x: number, y: number): { from_mm: Vec3; toward_mm: Vec3 } {
    const toward = new Vector3(2 * x - 1, 1 - 2 * y, 0.5).unproject(this.camera);
    return { from_mm: this.camera.position.toArray(), toward_mm: toward.toArray() };
  }

  /** Whether it was last drawn from near. */
  get isNear(): boolean {
    return this.last?.near === true;
  }

  /** Where the skin marker is on the canvas, px; null without one. */
  markerSeen(): { x: number; y: number } | null {
    const marker = this.last?.markerMm ?? null;
    const canvas = this.renderer.domElement;
    return marker === null ? null : this.seen(vec(marker), canvas.clientWidth, canvas.clientHeight);
  }

  /** Where the needle's hub is on the canvas, px; null without a needle. */
  hubSeen(): { x: number; y: number } | null {
    const needle = this.last?.needle ?? null;
    const canvas = this.renderer.domElement;
    return needle === null ? null : this.seen(vec(needle.hub_mm), canvas.clientWidth, canvas.clientHeight);
  }

  /** Whether the needle's hub is within reach of a place of the canvas, px. */
  holdsNeedle(x: number, y: number, width: number, height: number): boolean {
    const needle = this.last?.needle ?? null;
    if (needle === null) return false;
    const hub = this.seen(vec(needle.hub_mm), width, height);
    return Math.hypot(hub.x - x, hub.y - y) < REACH_PX;
  }

  /** Whether the skin marker is within reach of a place of the canvas, px. */
  holdsMarker(x: number, y: number, width: number, height: number): boolean {
    const marker = this.last?.markerMm ?? null;
    if (marker === null) return false;
    const at = this.seen(vec(marker), width, height);
    return Math.hypot(at.x - x, at.y - y) < REACH_PX;
  }

  /** What pulling the hub by (dx, dy) px means: along the needle it advances, across it swings. */
  drag(dx: number, dy: number, width: number, height: number): NeedleDrag | null {
    const { needle, room } = this.last ?? { needle: null, room: null };
    if (needle === null) return null;
    const hub = vec(needle.hub_mm);
    const inward = vec(needle.entry_mm).sub(hub);
    const outside = Math.max(10, inward.length());
    const direction = vec(needle.tip_mm).sub(hub).normalize();
    const a = this.seen(hub, width, height);
    const b = this.seen(hub.clone().add(direction), width, height);
    const perMm = Math.hypot(b.x - a.x, b.y - a.y);
    if (perMm < 1e-3) return null;
    const along = (dx * (b.x - a.x) + dy * (b.y - a.y)) / perMm;
    const across = { x: dx - (along * (b.x - a.x)) / perMm, y: dy - (along * (b.y - a.y)) / perMm };
    const right = new Vector3().setFromMatrixColumn(this.camera.matrixWorld, 0);
    const up = new Vector3().setFromMatrixColumn(this.camera.matrixWorld, 1);
    const mmPerPx = (2 * this.camera.position.distanceTo(hub) * Math.tan((this.camera.fov * Math.PI) / 360)) / height;
    const swung = right.multiplyScalar(across.x * mmPerPx).add(up.multiplyScalar(-across.y * mmPerPx));
    const degrees = 180 / Math.PI / outside;
    return { advance_mm: along / perMm, steer_x_deg: swung.dot(vec(room.u)) * degrees, steer_y_deg: -swung.dot(vec(room.v)) * degrees };
  }

  private seen(point: Vector3, width: number, height: number): { x: number; y: number } {
    const p = point.clone().project(this.camera);
    return { x: ((p.x + 1) / 2) * width, y: ((1 - p.y) / 2) * height };
  }
}

/** Draw a tube through points; nothing without any. */
function lay(mesh: Mesh, points: readonly Vec3[] | null, radiusMm: number): void {
  mesh.visible = points !== null && points.length > 1;
  if (points === null || !mesh.visible) return;
  mesh.geometry.dispose();
  mesh.geometry = new TubeGeometry(new CatmullRomCurve3(points.map(vec)), points.length === 2 ? 1 : 24, radiusMm, 6);
}
