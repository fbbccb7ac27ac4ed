"use strict";
// Three planes through one point of the scan: grey, voxels of the map above the threshold in colour, outline of the mask.
(async () => {
  const view = JSON.parse(document.getElementById("view-data").textContent);
  const part = (name) => document.getElementById(name);
  const [nx, ny, nz] = view.shape;
  const size = view.shape.map((n, i) => n * view.voxel[i]);
  const sheets = { image: await pixels(view.image), map: await pixels(view.map), mask: await pixels(view.mask) };
  const at = [...view.start];
  const white = () => Number(part("white").value);
  const byte = () => Number(part("threshold").value);
  const units = (value) => view.low + (value / 255) * (view.high - view.low);
  let chosen = view.findings.length ? 0 : -1;

  function place(x, y, z) { // of a voxel in the sheets: axial slices side by side, front up
    return ((Math.floor(z / view.columns) + 1) * ny - 1 - y) * sheets.image.width + (z % view.columns) * nx + x;
  }

  // across and down: axes of the scan; both planes beside the axial one have the top of the head up
  const planes = [
    { name: "axial", across: 0, down: 1, through: 2, sides: ["L", "R"] },
    { name: "coronal", across: 0, down: 2, through: 1, sides: ["L", "R"] },
    { name: "sagittal", across: 1, down: 2, through: 0, sides: ["back", "front"] },
  ].map((plane) => {
    const canvas = part(plane.name), sheet = document.createElement("canvas");
    sheet.width = view.shape[plane.across];
    sheet.height = view.shape[plane.down];
    return { ...plane, canvas, sheet, pen: canvas.getContext("2d"), ink: sheet.getContext("2d") };
  });
  let active = planes[0];

  function fit() { // one scale for all planes, as wide as the page allows
    const box = part("planes"), narrow = getComputedStyle(box).flexDirection === "column";
    const widths = planes.map((plane) => size[plane.across]);
    const room = box.clientWidth - 12 - (narrow ? 0 : 12);
    const wide = room / (narrow ? Math.max(...widths) : widths.reduce((a, b) => a + b));
    const high = Math.max(240, innerHeight * 0.62) / Math.max(size[1], size[2]);
    const scale = narrow ? wide : Math.min(wide, high), dots = devicePixelRatio || 1;
    for (const { canvas, across, down } of planes) {
      canvas.style.width = `${size[across] * scale}px`;
      canvas.style.height = `${size[down] * scale}px`;
      canvas.width = Math.round(size[across] * scale * dots);
      canvas.height = Math.round(size[down] * scale * dots);
    }
    draw();
  }

  function paint({ sheet, ink, across, down, through }) {
    const picture = ink.createImageData(sheet.width, sheet.height), index = [0, 0, 0];
    const threshold = byte(), bright = 255 / white(), shown = part("map-on").checked;
    const opacity = part("opacity").value / 100;
    index[through] = at[through];
    for (let row = 0; row < sheet.height; row++) for (let i = 0; i < sheet.width; i++) {
      const j = sheet.height - 1 - row;
      index[across] = i; index[down] = j;
      const where = place(...index);
      const grey = Math.min(255, sheets.image.data[where] * bright), value = sheets.map.data[where];
      let colour = [grey, grey, grey];
      if (shown && value > threshold) colour = heat((value - threshold) / (256 - threshold)).map((c) => opacity * c + (1 - opacity) * grey);
      picture.data.set([...colour, 255], 4 * (row * sheet.width + i));
    }
    ink.putImageData(picture, 0, 0);
  }

  function outline({ canvas, pen, sheet, across, down, through }) { // edges between voxels of the mask and others
    const index = [0, 0, 0], wide = canvas.width / sheet.width, high = canvas.height / sheet.height;
    const marked = (i, j) => {
      if (i < 0 || j < 0 || i >= sheet.width || j >= sheet.height) return false;
      index[across] = i; index[down] = j;
      return sheets.mask.data[place(...index)] > 127;
    };
    const edge = (x1, y1, x2, y2) => { pen.moveTo(x1 * wide, y1 * high); pen.lineTo(x2 * wide, y2 * high); };
    index[through] = at[through];
    pen.strokeStyle = "#3ce1ff";
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
    const { canvas, pen, sheet, across, down, sides } = plane;
    paint(plane);
    pen.imageSmoothingEnabled = true;
    pen.drawImage(sheet, 0, 0, canvas.width, canvas.height);
    if (part("mask-on").checked) outline(plane);
    const x = ((at[across] + 0.5) / sheet.width) * canvas.width;
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
    pen.fillStyle = "#b8c4d0";
    pen.font = `${13 * dots}px system-ui, sans-serif`;
    pen.textBaseline = "top";
    pen.textAlign = "left";
    pen.fillText(sides[0], 5 * dots, 4 * dots);
    pen.textAlign = "right";
    pen.fillText(sides[1], canvas.width - 5 * dots, 4 * dots);
    canvas.classList.toggle("active", plane === active);
  }

  const moved = (matrix) => matrix.slice(0, 3).map((row) => Math.round(row[0] * at[0] + row[1] * at[1] + row[2] * at[2] + row[3]));

  function draw() {
    planes.forEach(drawPlane);
    const value = sheets.map.data[place(...at)];
    const said = value ? units(value).toPrecision(3) : `under ${view.low.toPrecision(3)}`;
    part("place").textContent = `scan ${moved(view.toScan).join(", ")} mm · MNI ${moved(view.toMni).join(", ")} mm · map ${said}`;
    const own = view.threshold !== null && byte() === first ? " (of the mask)" : "";
    part("threshold-value").textContent = units(byte()).toPrecision(3) + own;
    document.querySelectorAll("#findings tbody tr").forEach((row, i) => row.classList.toggle("chosen", i === chosen));
  }

  function go(number) {
    if (number < 0 || number >= view.findings.length) return;
    chosen = number;
    at.splice(0, 3, ...view.findings[number]);
    draw();
  }

  function step(plane, count) {
    const axis = plane.through;
    at[axis] = Math.max(0, Math.min(view.shape[axis] - 1, at[axis] + count));
    draw();
  }

  function point(plane, event) {
    const box = plane.canvas.getBoundingClientRect();
    const inside = (share, n) => Math.max(0, Math.min(n - 1, Math.floor(share * n)));
    active = plane;
    at[plane.across] = inside((event.clientX - box.left) / box.width, plane.sheet.width);
    at[plane.down] = plane.sheet.height - 1 - inside((event.clientY - box.top) / box.height, plane.sheet.height);
    draw();
  }

  for (const plane of planes) {
    plane.canvas.addEventListener("pointerdown", (event) => { plane.canvas.setPointerCapture(event.pointerId); point(plane, event); });
    plane.canvas.addEventListener("pointermove", (event) => { if (event.buttons) point(plane, event); });
    plane.canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      active = plane;
      step(plane, event.deltaY < 0 ? 1 : -1);
    }, { passive: false });
  }

  const flip = (name) => { part(name).checked = !part(name).checked; draw(); };
  const shift = (count) => { part("threshold").value = byte() + count; draw(); };
  const keys = {
    ArrowUp: () => step(active, 1), ArrowDown: () => step(active, -1),
    PageUp: () => step(active, 10), PageDown: () => step(active, -10),
    a: () => { active = planes[0]; draw(); }, c: () => { active = planes[1]; draw(); }, s: () => { active = planes[2]; draw(); },
    n: () => go(chosen + 1), p: () => go(chosen - 1), m: () => flip("map-on"), o: () => flip("mask-on"),
    "+": () => shift(4), "-": () => shift(-4), "=": () => shift(4),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const slider = event.target.type === "range" && (event.key.startsWith("Arrow") || event.key.startsWith("Page"));
    if (/^[1-9]$/.test(event.key)) go(Number(event.key) - 1);
    else if (keys[event.key] && !slider) { event.preventDefault(); keys[event.key](); }
  });
  for (const name of ["threshold", "opacity", "white", "map-on", "mask-on"]) part(name).addEventListener("input", draw);
  document.querySelectorAll("#findings tbody tr").forEach((row, i) => row.addEventListener("click", () => go(i)));
  addEventListener("resize", fit);
  const first = view.threshold === null ? 128 : Math.round((255 * (view.threshold - view.low)) / (view.high - view.low));
  part("threshold").value = first;
  part("view").hidden = false;
  fit();
})();
