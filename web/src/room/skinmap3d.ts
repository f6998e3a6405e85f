/** The skin as a mesh of its cells: grey where it was not hit, else in the colours of the scale, unshaded so that they can be read. */

import {
  BufferAttribute, BufferGeometry, DataTexture, DoubleSide, Group, Mesh, MeshBasicMaterial, MeshLambertMaterial, NearestFilter, SRGBColorSpace, Vector3,
} from "three";

import { cellCenter, cellNormal, corner, meshIndices, meshUvs, type SkinDoses, type SkinShape } from "./skinmap";
import { paintCells, scaleTop } from "./skinmapscale";
import type { SkinView } from "./skinmapdata";

/** What the room view shows of the skin dose. */
export interface SkinLook {
  readonly shape: SkinShape;
  readonly doses: SkinDoses;
  readonly view: SkinView | null;
}

/** A body as long as this has its own head and legs. */
const WHOLE_BODY_MM = 1300;
const LOOK_FROM_MM = 900;
const NEUTRAL = new MeshLambertMaterial({ color: 0x8d949c, side: DoubleSide });

export class Skin3D {
  readonly group = new Group();
  private shape: SkinShape | null = null;
  private doses: SkinDoses | null = null;
  private texture: DataTexture | null = null;
  private pixels = new Uint8Array();
  private readonly bare = new Mesh(new BufferGeometry(), NEUTRAL);
  private readonly dosed = new Mesh(
    new BufferGeometry(),
    new MeshBasicMaterial({ side: DoubleSide, alphaTest: 0.5, polygonOffset: true, polygonOffsetFactor: -1, polygonOffsetUnits: -1 }),
  );
  private long = false;

  constructor() {
    this.group.add(this.bare, this.dosed);
    this.group.visible = false;
  }

  /** Whether it has head and legs of its own. */
  get whole(): boolean {
    return this.group.visible && this.long;
  }

  wear(look: SkinLook | null): void {
    this.group.visible = look !== null;
    if (look === null) return;
    if (look.shape !== this.shape) this.build(look.shape);
    if (look.doses === this.doses) return;
    this.doses = look.doses;
    const peak = look.doses.peak_index === null ? 0 : (look.doses.dose_mgy[look.doses.peak_index] ?? 0);
    paintCells(look.doses.dose_mgy, scaleTop(peak), this.pixels);
    if (this.texture !== null) this.texture.needsUpdate = true;
  }

  /** Where the peak lies and the way out of the body there, as the group lies in the room; null without one. */
  peak(): { readonly at: Vector3; readonly out: Vector3 } | null {
    const index = this.doses?.peak_index ?? null;
    if (index === null || !this.group.visible) return null;
    const placed = this.cell(index);
    return placed === null ? null : { at: this.group.localToWorld(placed.at), out: placed.out.transformDirection(this.group.matrixWorld) };
  }

  /** From where a view looks, at what, and what is up: the head. */
  eye(view: SkinView): { readonly from: Vector3; readonly at: Vector3; readonly up: Vector3 } {
    const at = (view.cell === null ? null : this.cell(view.cell)?.at) ?? this.middle();
    const around = (view.around_deg * Math.PI) / 180;
    const tilt = (view.tilt_deg * Math.PI) / 180;
    const way = new Vector3(Math.sin(around) * Math.cos(tilt), Math.cos(around) * Math.cos(tilt), Math.sin(tilt));
    const from = at.clone().addScaledVector(way, LOOK_FROM_MM);
    this.group.updateWorldMatrix(true, false);
    return {
      from: this.group.localToWorld(from),
      at: this.group.localToWorld(at),
      up: new Vector3(0, 0, 1).transformDirection(this.group.matrixWorld),
    };
  }

  private cell(index: number): { at: Vector3; out: Vector3 } | null {
    const shape = this.shape;
    if (shape === null || index >= shape.rows * shape.columns) return null;
    return { at: new Vector3(...cellCenter(shape, index)), out: new Vector3(...cellNormal(shape, index)) };
  }

  /** Middle of the body at the peak's height. */
  private middle(): Vector3 {
    const shape = this.shape;
    if (shape === null) return new Vector3();
    const row = Math.floor((this.doses?.peak_index ?? 0) / shape.columns);
    const sum = new Vector3();
    for (let column = 0; column < shape.columns; column += 1) sum.add(new Vector3(...cellCenter(shape, row * shape.columns + column)));
    return sum.divideScalar(shape.columns);
  }

  private build(shape: SkinShape): void {
    this.shape = shape;
    this.doses = null;
    const places = new BufferAttribute(new Float32Array(shape.points_mm), 3);
    const dosed = new BufferGeometry();
    dosed.setAttribute("position", places);
    dosed.setAttribute("uv", new BufferAttribute(meshUvs(shape.rows, shape.columns), 2));
    dosed.setIndex(new BufferAttribute(meshIndices(shape.rows, shape.columns), 1));
    const bare = new BufferGeometry();
    bare.setAttribute("position", places);
    bare.setIndex(dosed.index);
    bare.computeVertexNormals();
    this.dosed.geometry.dispose();
    this.bare.geometry.dispose();
    this.texture?.dispose();
    this.dosed.geometry = dosed;
    this.bare.geometry = bare;
    this.bare.clear();
    for (const row of [0, shape.rows]) this.bare.add(new Mesh(lid(shape, row), NEUTRAL));
    this.pixels = new Uint8Array(4 * shape.rows * shape.columns);
    this.texture = new DataTexture(this.pixels, shape.columns, shape.rows);
    this.texture.colorSpace = SRGBColorSpace;
    this.texture.magFilter = this.texture.minFilter = NearestFilter;
    this.dosed.material.map = this.texture;
    this.dosed.material.needsUpdate = true;
    bare.computeBoundingBox();
    this.long = bare.boundingBox !== null && bare.boundingBox.max.z - bare.boundingBox.min.z > WHOLE_BODY_MM;
  }
}

/** Closes the end of the body at a row of corners. */
function lid(shape: SkinShape, row: number): BufferGeometry {
  const wide = shape.columns + 1;
  const places: number[] = [0, 0, 0];
  const faces: number[] = [];
  for (let column = 0; column < wide; column += 1) {
    const at = corner(shape, row * wide + column);
    places.push(...at);
    at.forEach((value, axis) => (places[axis] = (places[axis] ?? 0) + value / wide));
    if (column > 0) faces.push(0, column, column + 1);
  }
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(new Float32Array(places), 3));
  geometry.setIndex(faces);
  geometry.computeVertexNormals();
  return geometry;
}
