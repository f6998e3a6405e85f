/**
 * The small view of the room: C-arm, beam, table and patient. three.js is loaded after the first picture can be shown.
 * The world is the equipment frame (x left of a head-first supine patient, y down, z to the head end), in mm.
 */

import {
  AmbientLight, BufferAttribute, BufferGeometry, CapsuleGeometry, Color, CylinderGeometry, DirectionalLight, DoubleSide, BoxGeometry, Group,
  Mesh, MeshBasicMaterial, MeshLambertMaterial, PerspectiveCamera, Scene, SphereGeometry, TorusGeometry, Vector3, WebGLRenderer, Matrix4,
} from "three";

import type { RoomGeometry, Table, Vec3 } from "../link/types";

export interface RoomSnapshot {
  readonly room: RoomGeometry;
  readonly table: Table;
  readonly detectorMm: number;
  readonly exposing: boolean;
}

const METAL = new MeshLambertMaterial({ color: 0x8a97a3 });
const DARK = new MeshLambertMaterial({ color: 0x3c4650 });
const SKIN = new MeshLambertMaterial({ color: 0xb58f7a });
const HAIR = new MeshLambertMaterial({ color: 0x3a2a22 });
const PANEL = new MeshLambertMaterial({ color: 0x4cc2ff });

const vec = (v: Vec3): Vector3 => new Vector3(v[0], v[1], v[2]);
const rad = (deg: number | null): number => ((deg ?? 0) * Math.PI) / 180;

/** A rounded patient lying along z, head toward +z, seen in the equipment frame before feet-first turns. */
function patient(): Group {
  const body = new Group();
  const part = (geometry: BufferGeometry, x: number, y: number, z: number, sx: number, sy: number): void => {
    const mesh = new Mesh(geometry, SKIN);
    mesh.rotation.x = Math.PI / 2;
    mesh.position.set(x, y, z);
    mesh.scale.set(sx, 1, sy);
    body.add(mesh);
  };
  part(new CapsuleGeometry(110, 380, 6, 16), 0, 0, 90, 1.35, 0.95);
  part(new CapsuleGeometry(100, 120, 6, 16), 0, 0, -190, 1.5, 0.95);
  for (const side of [-1, 1]) {
    part(new CapsuleGeometry(65, 640, 4, 12), side * 85, 0, -600, 1, 1);
    part(new CapsuleGeometry(38, 480, 4, 10), side * 205, 0, 60, 1, 1);
  }
  const head = new Mesh(new SphereGeometry(95, 20, 14), SKIN);
  head.scale.set(0.85, 1, 1.15);
  head.position.set(0, 0, 500);
  body.add(head);
  // Hair behind and toes in front tell supine from prone.
  const hair = new Mesh(new SphereGeometry(97, 20, 14), HAIR);
  hair.scale.set(0.88, 0.95, 1.1);
  hair.position.set(0, 22, 514);
  body.add(hair);
  for (const side of [-1, 1]) {
    const foot = new Mesh(new BoxGeometry(75, 170, 60), SKIN);
    foot.position.set(side * 85, -30, -1000);
    body.add(foot);
  }
  const nose = new Mesh(new SphereGeometry(18, 8, 8), SKIN);
  nose.position.set(0, -102, 505);
  body.add(nose);
  return body;
}

const HALF_DEPTH_MM = 118;
const HALF_WIDTH_MM = 245;

/** Turn of the patient about z for a position: which way the face looks. */
const FACE_TURN: Readonly<Record<string, number>> = { S: 0, P: Math.PI, DL: Math.PI / 2, DR: -Math.PI / 2 };

export class RoomScene {
  private readonly scene = new Scene();
  private readonly camera = new PerspectiveCamera(32, 1, 100, 12000);
  private readonly renderer: WebGLRenderer;
  private readonly carm = new Group();
  private readonly tableGroup = new Group();
  private readonly body = patient();
  private readonly source: Mesh;
  private readonly detector: Mesh;
  private readonly arc: Mesh;
  private readonly top: Mesh;
  private readonly beam: Mesh<BufferGeometry, MeshBasicMaterial>;
  private key = "";

  constructor(canvas: HTMLCanvasElement) {
    this.renderer = new WebGLRenderer({ canvas, antialias: true, alpha: false, powerPreference: "low-power" });
    this.scene.background = new Color(0x14181d);
    this.scene.add(new AmbientLight(0xffffff, 1.5));
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
    this.tableGroup.add(this.top, this.body);
    const foot = new Mesh(new BoxGeometry(320, 620, 420), DARK);
    foot.position.set(0, 480, -950);
    this.scene.add(this.carm, this.tableGroup, foot);
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
    const key = JSON.stringify([now.room, now.table, now.detectorMm, now.exposing]);
    if (key === this.key) return;
    this.key = key;
    this.placeCarm(now);
    this.placeTable(now);
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
    const feetFirst = room.patient_position.startsWith("FF");
    const turn = FACE_TURN[room.patient_position.slice(2)] ?? 0;
    // A patient on the side is deeper than one on the back: the table top stays under the body.
    this.top.position.y = 17 + (room.patient_position.slice(2).startsWith("D") ? HALF_WIDTH_MM : HALF_DEPTH_MM);
    this.body.rotation.set(0, feetFirst ? Math.PI : 0, turn);
  }
}
