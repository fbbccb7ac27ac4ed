"use strict";
// What viewers share: three planes through one point of a volume, from pictures that hold a voxel in each pixel.
const decoded = new Map(); // pictures are decoded on first use

async function pixels(address) { // the red channel of a picture: one byte per voxel, slices side by side
  if (!decoded.has(address)) {
    const image = new Image();
    image.src = address;
    await image.decode();
    const sheet = document.createElement("canvas");
    sheet.width = image.width;
    sheet.height = image.height;
    const context = sheet.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const bytes = context.getImageData(0, 0, image.width, image.height).data;
    const data = new Uint8Array(bytes.length / 4);
    for (let i = 0; i < data.length; i++) data[i] = bytes[4 * i];
    decoded.set(address, { width: image.width, data });
  }
  return decoded.get(address);
}

function heat(share) { // from dark red over orange to pale yellow
  return [120 + 135 * Math.min(1, share * 2), 230 * Math.max(0, share * 1.3 - 0.15), 160 * Math.max(0, share * 2 - 1)];
}

const remembered = { // the side of the reader; a browser may keep nothing for pages that are files
  get radiological() { try { return localStorage.getItem("radiological") === "1"; } catch { return false; } },
  set radiological(on) { try { localStorage.setItem("radiological", on ? "1" : "0"); } catch { /* not kept */ } },
};

// `look`: functions that say how voxels are drawn: threshold and white (bytes), opacity (0 to 1), shown, outlines
// ([{sheet, colour}]), radiological, and whether the wheel is ours. `moved` is called after each drawing. Canvases: #axial, #coronal, #sagittal.
function threePlanes(look, moved) {
  const part = (name) => document.getElementById(name);
  // across and down: axes of the scan; both planes beside the axial one have the top of the head up
  const planes = [
    { name: "axial", across: 0, down: 1, through: 2, sides: ["L", "R"] },
    { name: "coronal", across: 0, down: 2, through: 1, sides: ["L", "R"] },
    { name: "sagittal", across: 1, down: 2, through: 0, sides: ["back", "front"] },
  ].map((plane) => {
    const canvas = part(plane.name), sheet = document.createElement("canvas");
    return { ...plane, canvas, sheet, pen: canvas.getContext("2d"), ink: sheet.getContext("2d") };
  });
  let active = planes[0], volume = null, sheets = null;
  const at = [0, 0, 0];

  function place(x, y, z) { // of a voxel in the sheets: axial slices side by side, front up
    const [nx, ny] = volume.shape;
    return ((Math.floor(z / volume.columns) + 1) * ny - 1 - y) * sheets.image.width + (z % volume.columns) * nx + x;
  }

  // the column of a voxel in a plane, and back: radiologists see the left side of the patient on the right
  const mirrored = ({ across, sheet }, i) => (across === 0 && look.radiological() ? sheet.width - 1 - i : i);

  function fit() { // one scale for all planes, as wide as the page allows
    if (!volume) return;
    const size = volume.shape.map((n, i) => n * volume.voxel[i]);
    const box = part("planes"), narrow = getComputedStyle(box).flexDirection === "column";
    const widths = planes.map((plane) => size[plane.across]);
    const room = box.clientWidth - 12 - (narrow ? 0 : 12);
    const wide = room / (narrow ? Math.max(...widths) : widths.reduce((a, b) => a + b));
    const high = Math.max(240, innerHeight * 0.62) / Math.max(size[1], size[2]);
    const scale = narrow ? wide : Math.min(wide, high), dots = devicePixelRatio || 1;
    for (const { canvas, sheet, across, down } of planes) {
      sheet.width = volume.shape[across];
      sheet.height = volume.shape[down];
      canvas.style.width = `${size[across] * scale}px`;
      canvas.style.height = `${size[down] * scale}px`;
      canvas.width = Math.round(size[across] * scale * dots);
      canvas.height = Math.round(size[down] * scale * dots);
    }
    draw();
  }

  function paint(plane) {
    const { sheet, ink, across, down, through } = plane;
    const picture = ink.createImageData(sheet.width, sheet.height), index = [0, 0, 0];
    const threshold = look.threshold(), bright = 255 / look.white(), shown = look.shown(), opacity = look.opacity();
    index[through] = at[through];
    for (let row = 0; row < sheet.height; row++) for (let column = 0; column < sheet.width; column++) {
      index[across] = mirrored(plane, column); index[down] = sheet.height - 1 - row;
      const where = place(...index);
      const grey = Math.min(255, sheets.image.data[where] * bright), value = sheets.map.data[where];
      let colour = [grey, grey, grey];
      if (shown && value > threshold) colour = heat((value - threshold) / (256 - threshold)).map((c) => opacity * c + (1 - opacity) * grey);
      picture.data.set([...colour, 255], 4 * (row * sheet.width + column));
    }
    ink.putImageData(picture, 0, 0);
  }

  function outline(plane, mask, colour) { // edges between voxels of the mask and others
    const { canvas, pen, sheet, across, down, through } = plane;
    const index = [0, 0, 0], wide = canvas.width / sheet.width, high = canvas.height / sheet.height;
    const marked = (column, j) => {
      if (column < 0 || j < 0 || column >= sheet.width || j >= sheet.height) return false;
      index[across] = mirrored(plane, column); index[down] = j;
      return mask.data[place(...index)] > 127;
    };
    const edge = (x1, y1, x2, y2) => { pen.moveTo(x1 * wide, y1 * high); pen.lineTo(x2 * wide, y2 * high); };
    index[through] = at[through];
    pen.strokeStyle = colour;
    pen.lineWidth = 1.5 * (devicePixelRatio || 1);
    pen.beginPath();
    for (let j = 0; j < sheet.height; j++) for (let i = 0; i < sheet.width; i++) {
      if (!marked(i, j)) continue;
      const top = sheet.height - 1 - j;
      if (!marked(i - 1, j)) edge(i, top, i, top + 1);
      if (!marked(i + 1, j)) edge(i + 1, top, i + 1, top + 1);
      if (!marked(i, j + 1)) edge(i, top, i + 1, top);
      if (!marked(i, j - 1)) edge(i, top + 1, i + 1, top + 1);
    }
    pen.stroke();
  }

  function drawPlane(plane) {
    const { canvas, pen, sheet, across, down } = plane;
    paint(plane);
    pen.imageSmoothingEnabled = true;
    pen.drawImage(sheet, 0, 0, canvas.width, canvas.height);
    for (const { sheet: mask, colour } of look.outlines()) outline(plane, mask, colour);
    const x = ((mirrored(plane, at[across]) + 0.5) / sheet.width) * canvas.width;
    const y = (1 - (at[down] + 0.5) / sheet.height) * canvas.height;
    const dots = devicePixelRatio || 1, gap = 12 * dots;
    pen.strokeStyle = "rgba(120, 220, 120, 0.75)";
    pen.lineWidth = dots;
    pen.beginPath();
    for (const [x1, y1, x2, y2] of [[0, y, x - gap, y], [x + gap, y, canvas.width, y], [x, 0, x, y - gap], [x, y + gap, x, canvas.height]]) {
      pen.moveTo(x1, y1);
      pen.lineTo(x2, y2);
    }
    pen.stroke();
    const sides = across === 0 && look.radiological() ? [...plane.sides].reverse() : plane.sides;
    pen.fillStyle = "#b8c4d0";
    pen.font = `${13 * dots}px system-ui, sans-serif`;
    pen.textBaseline = "top";
    pen.textAlign = "left";
    pen.fillText(sides[0], 5 * dots, 4 * dots);
    pen.textAlign = "right";
    pen.fillText(sides[1], canvas.width - 5 * dots, 4 * dots);
    canvas.classList.toggle("active", plane === active);
  }

  function draw() {
    if (!sheets) return;
    planes.forEach(drawPlane);
    moved();
  }

  function step(count) {
    at[active.through] = Math.max(0, Math.min(volume.shape[active.through] - 1, at[active.through] + count));
    draw();
  }

  function point(plane, event) {
    const box = plane.canvas.getBoundingClientRect();
    const inside = (share, n) => Math.max(0, Math.min(n - 1, Math.floor(share * n)));
    active = plane;
    at[plane.across] = mirrored(plane, inside((event.clientX - box.left) / box.width, plane.sheet.width));
    at[plane.down] = plane.sheet.height - 1 - inside((event.clientY - box.top) / box.height, plane.sheet.height);
    draw();
  }

  for (const plane of planes) {
    plane.canvas.addEventListener("pointerdown", (event) => { plane.canvas.setPointerCapture(event.pointerId); point(plane, event); });
    plane.canvas.addEventListener("pointermove", (event) => { if (event.buttons) point(plane, event); });
    plane.canvas.addEventListener("wheel", (event) => {
      if (!look.wheel()) return;
      event.preventDefault();
      active = plane;
      step(event.deltaY < 0 ? 1 : -1);
    }, { passive: false });
  }
  addEventListener("resize", fit);

  const turn = (number) => () => { active = planes[number]; draw(); };
  return {
    at,
    draw,
    go(place) { at.splice(0, 3, ...place); draw(); },
    open(next, pictures) { volume = next; sheets = pictures; fit(); },
    value: () => sheets.map.data[place(...at)],
    world: (matrix) => matrix.slice(0, 3).map((row) => Math.round(row[0] * at[0] + row[1] * at[1] + row[2] * at[2] + row[3])),
    keys: {
      ArrowUp: () => step(1), ArrowDown: () => step(-1), PageUp: () => step(10), PageDown: () => step(-10),
      a: turn(0), c: turn(1), s: turn(2),
    },
  };
}

// The choice among the sequences of a session, each a picture; `changed` is called with the pixels of the chosen one.
// `select` is null on pages where no session has several.
function sequenceChoice(select, changed) {
  let addresses = [];
  async function show() {
    const address = addresses[select.selectedIndex], sheet = await pixels(address);
    if (address === addresses[select.selectedIndex]) changed(sheet); // else the selection changed meanwhile
  }
  select?.addEventListener("change", show);
  return {
    open(names, pictures) { // the name that was chosen stays, where this session has it; returns its address
      addresses = pictures;
      if (!select) return addresses[0];
      const before = select.value;
      select.replaceChildren(...names.map((name) => new Option(name)));
      if (names.includes(before)) select.value = before;
      select.closest("label").hidden = names.length < 2;
      return addresses[select.selectedIndex] ?? addresses[0];
    },
    next() {
      if (addresses.length < 2) return;
      select.selectedIndex = (select.selectedIndex + 1) % addresses.length;
      show();
    },
  };
}

function listen(target, keys) { // sliders keep the keys that move them
  target.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
    const slider = event.target.type === "range" && (event.key.startsWith("Arrow") || event.key.startsWith("Page"));
    if (keys[event.key] && !slider) { event.preventDefault(); keys[event.key](); }
  });
}
