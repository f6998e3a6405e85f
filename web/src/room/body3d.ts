/** The patient of the room view: his own skin and vertebrae where the room knows them, else a schematic body. */

import {
  BoxGeometry, BufferAttribute, BufferGeometry, CapsuleGeometry, CylinderGeometry, DoubleSide, Group, Mesh, MeshLambertMaterial, SphereGeometry,
} from "three";

import type { BodyShape } from "../link/types";
import { Skin3D, type SkinLook } from "./skinmap3d";

const SKIN = new MeshLambertMaterial({ color: 0xb58f7a });
/** Seen through from near, so that the spine and the needle in it show. */
const OWN_SKIN = new MeshLambertMaterial({ color: 0xb58f7a, side: DoubleSide, transparent: true });
const HAIR = new MeshLambertMaterial({ color: 0x3a2a22 });
const BONE = new MeshLambertMaterial({ color: 0xe6dcc8 });

const HALF_DEPTH_MM = 118;
const HALF_WIDTH_MM = 245;

/** Turn of the patient about z for a position: which way the face looks. */
const FACE_TURN: Readonly<Record<string, number>> = { S: 0, P: Math.PI, DL: Math.PI / 2, DR: -Math.PI / 2 };

/** A rounded patient lying along z, head toward +z, seen in the equipment frame before feet-first turns. */
export class Body3D {
  readonly group = new Group();
  /** The skin in its cells, coloured by dose. */
  readonly dosed = new Skin3D();
  private readonly trunk = new Group();
  /** Legs and head: schematic always, unless the skin in cells has its own. */
  private readonly ends = new Group();
  private own: Mesh | null = null;
  private readonly spine = new Group();
  private shape: BodyShape | null | undefined = undefined;

  constructor() {
    for (const side of [-1, 1]) this.limb(new CapsuleGeometry(65, 640, 4, 12), side * 85, 0, -600, 1, 1, this.ends);
    const head = new Mesh(new SphereGeometry(95, 20, 14), SKIN);
    head.scale.set(0.85, 1, 1.15);
    head.position.set(0, 0, 500);
    // Hair behind and toes in front tell supine from prone.
    const hair = new Mesh(new SphereGeometry(97, 20, 14), HAIR);
    hair.scale.set(0.88, 0.95, 1.1);
    hair.position.set(0, 22, 514);
    const nose = new Mesh(new SphereGeometry(18, 8, 8), SKIN);
    nose.position.set(0, -102, 505);
    for (const side of [-1, 1]) {
      const foot = new Mesh(new BoxGeometry(75, 170, 60), SKIN);
      foot.position.set(side * 85, -30, -1000);
      this.ends.add(foot);
    }
    this.ends.add(head, hair, nose);
    this.group.add(this.trunk, this.spine, this.ends, this.dosed.group);
    this.wear(null);
  }

  /** Take the patient's own outlines; null goes back to the schematic trunk. */
  wear(shape: BodyShape | null): void {
    if (shape === this.shape) return;
    this.shape = shape;
    if (this.own !== null) {
      this.group.remove(this.own);
      this.own.geometry.dispose();
    }
    this.own = null;
    this.spine.clear();
    this.trunk.clear();
    const rings = shape?.skin ?? [];
    const top = rings.at(-1)?.z_mm ?? -Infinity;
    if (rings.length >= 2) {
      this.own = new Mesh(skinGeometry(rings), OWN_SKIN);
      this.group.add(this.own);
      // Chest and arms are schematic still: from where the outlines end to the neck.
      if (top < 350) this.limb(new CapsuleGeometry(105, Math.max(1, 340 - top), 6, 16), 0, 0, (340 + top) / 2 + 10, 1.4, 0.95, this.trunk);
      for (const side of [-1, 1]) this.limb(new CapsuleGeometry(34, 300, 4, 10), side * 190, 0, 330, 1, 1, this.trunk);
    } else {
      this.limb(new CapsuleGeometry(110, 380, 6, 16), 0, 0, 90, 1.35, 0.95, this.trunk);
      this.limb(new CapsuleGeometry(100, 120, 6, 16), 0, 0, -190, 1.5, 0.95, this.trunk);
      for (const side of [-1, 1]) this.limb(new CapsuleGeometry(38, 480, 4, 10), side * 205, 0, 60, 1, 1, this.trunk);
    }
    for (const vertebra of shape?.spine ?? []) {
      const body = new Mesh(new CylinderGeometry(21, 21, 24, 16), BONE);
      body.rotation.x = Math.PI / 2;
      body.position.set(...vertebra.position_mm);
      const spinous = new Mesh(new BoxGeometry(7, 34, 16), BONE);
      spinous.position.set(vertebra.position_mm[0], vertebra.position_mm[1] + 48, vertebra.position_mm[2] - 8);
      this.spine.add(body, spinous);
    }
  }

  /** From near the skin is glass, and what is schematic is not drawn; with a skin dose, its cells are the skin. */
  lookThrough(near: boolean, look: SkinLook | null): void {
    OWN_SKIN.opacity = near ? 0.35 : 1;
    OWN_SKIN.depthWrite = !near;
    this.dosed.wear(near ? null : look);
    const cells = this.dosed.group.visible;
    if (this.own !== null) this.own.visible = !cells;
    this.spine.visible = near;
    this.ends.visible = !this.dosed.whole;
    this.trunk.visible = (!near || this.own === null) && !(cells && (this.own === null || this.dosed.whole));
  }

  /** Lie as `position` says; returns how far the body reaches down, mm. */
  lie(position: string): number {
    const feetFirst = position.startsWith("FF");
    const way = position.slice(2);
    const turn = FACE_TURN[way] ?? 0;
    this.group.rotation.set(0, feetFirst ? Math.PI : 0, turn);
    const points = this.shape?.skin.flatMap((ring) => ring.points_mm) ?? [];
    if (points.length === 0) return way.startsWith("D") ? HALF_WIDTH_MM : HALF_DEPTH_MM;
    return Math.max(...points.map(([x, y]) => x * Math.sin(turn) + y * Math.cos(turn)));
  }

  private limb(geometry: BufferGeometry, x: number, y: number, z: number, sx: number, sy: number, into: Group): void {
    const mesh = new Mesh(geometry, SKIN);
    mesh.rotation.x = Math.PI / 2;
    mesh.position.set(x, y, z);
    mesh.scale.set(sx, 1, sy);
    into.add(mesh);
  }
}

/** A tube through the outlines, closed at both ends. */
function skinGeometry(rings: BodyShape["skin"]): BufferGeometry {
  const around = Math.min(...rings.map((ring) => ring.points_mm.length));
  const places: number[] = [];
  const faces: number[] = [];
  for (const ring of rings) for (const [x, y] of ring.points_mm.slice(0, around)) places.push(x, y, ring.z_mm);
  for (let level = 0; level + 1 < rings.length; level += 1) {
    for (let i = 0; i < around; i += 1) {
      const a = level * around + i;
      const b = level * around + ((i + 1) % around);
      faces.push(a, b, a + around, b, b + around, a + around);
    }
  }
  for (const [level, ring] of [[0, rings[0]], [rings.length - 1, rings.at(-1)]] as const) {
    if (ring === undefined) continue;
    const center = places.length / 3;
    const sum = ring.points_mm.reduce<readonly [number, number]>((all, [x, y]) => [all[0] + x, all[1] + y], [0, 0]);
    places.push(sum[0] / ring.points_mm.length, sum[1] / ring.points_mm.length, ring.z_mm);
    for (let i = 0; i < around; i += 1) faces.push(center, level * around + i, level * around + ((i + 1) % around));
  }
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(new Float32Array(places), 3));
  geometry.setIndex(faces);
  geometry.computeVertexNormals();
  return geometry;
}
