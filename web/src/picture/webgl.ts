/** WebGL2: the picture as an R16UI texture, the display window as a 256 × 256 table of greys. */

import type { Picture } from "../link/decode";
import type { Screen } from "./screen";
import { fillIdentity, fillTable, LEVELS, type DisplayWindow } from "./window";

const VERTEX = `#version 300 es
void main() {
  // One triangle over the whole canvas.
  vec2 corner = vec2(float((gl_VertexID << 1) & 2), float(gl_VertexID & 2));
  gl_Position = vec4(corner * 2.0 - 1.0, 0.0, 1.0);
}`;

const FRAGMENT = `#version 300 es
precision highp float;
precision highp int;
precision highp usampler2D;
uniform usampler2D picture;
uniform usampler2D table;
uniform int rows;
out vec4 color;
void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  // Row 0 of the picture is at the top, fragment row 0 at the bottom.
  uint value = texelFetch(picture, ivec2(at.x, rows - 1 - at.y), 0).r;
  uint grey = texelFetch(table, ivec2(int(value & 255u), int(value >> 8)), 0).r;
  color = vec4(vec3(float(grey) / 255.0), 1.0);
}`;

function compile(gl: WebGL2RenderingContext, type: number, source: string): WebGLShader {
  const shader = gl.createShader(type);
  if (shader === null) throw new Error("WebGL2 gave no shader");
  gl.shaderSource(shader, source);
  gl.compileShader(shader);
  if (gl.getShaderParameter(shader, gl.COMPILE_STATUS) !== true && !gl.isContextLost()) {
    throw new Error(`shader: ${gl.getShaderInfoLog(shader) ?? "unknown"}`);
  }
  return shader;
}

function texture(gl: WebGL2RenderingContext, unit: number): WebGLTexture {
  const made = gl.createTexture();
  gl.activeTexture(gl.TEXTURE0 + unit);
  gl.bindTexture(gl.TEXTURE_2D, made);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
  return made;
}

export class WebGLScreen implements Screen {
  readonly kind = "webgl2";
  private readonly table = new Uint8Array(LEVELS);
  private tableKey = "";
  private allocated = "";
  private rows: WebGLUniformLocation | null = null;
  private last: [Picture, DisplayWindow, boolean] | null = null;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly gl: WebGL2RenderingContext,
  ) {
    this.build();
    canvas.addEventListener("webglcontextlost", this.onLost);
    canvas.addEventListener("webglcontextrestored", this.onRestored);
  }

  paint(picture: Picture, window: DisplayWindow, invert: boolean): void {
    const { gl, canvas } = this;
    this.last = [picture, window, invert];
    if (gl.isContextLost()) return;
    const { rows, columns, pixels } = picture;
    if (canvas.width !== columns || canvas.height !== rows) {
      canvas.width = columns;
      canvas.height = rows;
    }
    this.uploadTable(pixels instanceof Uint8Array, window, invert);
    gl.activeTexture(gl.TEXTURE0);
    this.uploadPicture(pixels, rows, columns);
    gl.viewport(0, 0, columns, rows);
    gl.uniform1i(this.rows, rows);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  readBack(): Uint8Array {
    // The drawing buffer is gone after it was shown: paint again, then read before the browser takes it.
    if (this.last !== null) this.paint(...this.last);
    const { gl, canvas } = this;
    const { width, height } = canvas;
    const rgba = new Uint8Array(width * height * 4);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, rgba);
    const grey = new Uint8Array(width * height);
    for (let row = 0; row < height; row += 1) {
      const from = (height - 1 - row) * width;
      for (let column = 0; column < width; column += 1) grey[row * width + column] = rgba[(from + column) * 4] ?? 0;
    }
    return grey;
  }

  dispose(): void {
    this.canvas.removeEventListener("webglcontextlost", this.onLost);
    this.canvas.removeEventListener("webglcontextrestored", this.onRestored);
  }

  private build(): void {
    const { gl } = this;
    const program = gl.createProgram();
    gl.attachShader(program, compile(gl, gl.VERTEX_SHADER, VERTEX));
    gl.attachShader(program, compile(gl, gl.FRAGMENT_SHADER, FRAGMENT));
    gl.linkProgram(program);
    gl.useProgram(program);
    gl.bindVertexArray(gl.createVertexArray());
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    texture(gl, 1);
    texture(gl, 0);
    gl.uniform1i(gl.getUniformLocation(program, "picture"), 0);
    gl.uniform1i(gl.getUniformLocation(program, "table"), 1);
    this.rows = gl.getUniformLocation(program, "rows");
    this.tableKey = "";
    this.allocated = "";
  }

  private uploadPicture(pixels: Uint16Array | Uint8Array, rows: number, columns: number): void {
    const { gl } = this;
    const wide = pixels instanceof Uint16Array;
    const type = wide ? gl.UNSIGNED_SHORT : gl.UNSIGNED_BYTE;
    const key = `${rows} ${columns} ${wide}`;
    if (key === this.allocated) {
      gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, columns, rows, gl.RED_INTEGER, type, pixels);
      return;
    }
    gl.texImage2D(gl.TEXTURE_2D, 0, wide ? gl.R16UI : gl.R8UI, columns, rows, 0, gl.RED_INTEGER, type, pixels);
    this.allocated = key;
  }

  private uploadTable(windowed: boolean, window: DisplayWindow, invert: boolean): void {
    const key = windowed ? `8 ${invert}` : `${window.center} ${window.width} ${invert}`;
    if (key === this.tableKey) return;
    if (windowed) fillIdentity(this.table, invert);
    else fillTable(this.table, window, invert);
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE1);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.R8UI, 256, 256, 0, gl.RED_INTEGER, gl.UNSIGNED_BYTE, this.table);
    this.tableKey = key;
  }

  private readonly onLost = (event: Event): void => {
    event.preventDefault();
  };

  private readonly onRestored = (): void => {
    this.build();
    if (this.last !== null) this.paint(...this.last);
  };
}
