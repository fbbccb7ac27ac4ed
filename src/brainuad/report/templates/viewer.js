"use strict";
// Slices of a scan on a canvas: the scan in grey, voxels of the map above the threshold in colour, the true lesion outlined.
(async () => {
  const scans = JSON.parse(document.getElementById("view-data").textContent);
  const part = (name) => document.getElementById(`view-${name}`);
  const canvas = part("canvas"), pen = canvas.getContext("2d");

  const scan = () => scans[part("scan").selectedIndex];
  const model = () => scan().models[part("model").selectedIndex];
  const units = (byte) => model().low + (byte / 255) * (model().high - model().low);

  function pickScan() {
    const before = part("model").value;
    part("model").replaceChildren(...scan().models.map((m) => new Option(m.model)));
    if (scan().models.some((m) => m.model === before)) part("model").value = before;
    part("slice").max = scan().slices - 1;
    part("slice").value = scan().start;
    canvas.width = scan().width;
    canvas.height = scan().height;
    return pickModel();
  }

  function pickModel() {
    const { threshold, low, high } = model();
    part("threshold").value = threshold === null ? 128 : Math.round((255 * (threshold - low)) / (high - low));
    return draw();
  }

  async function draw() {
    const at = scan(), one = model();
    const [image, truth, map] = await Promise.all([at.image, at.truth, one.map].map(pixels));
    if (at !== scan() || one !== model()) return; // the selection changed meanwhile
    const slice = Number(part("slice").value), threshold = Number(part("threshold").value), opacity = part("opacity").value / 100;
    const left = (slice % at.columns) * at.width, top = Math.floor(slice / at.columns) * at.height;
    const picture = pen.createImageData(at.width, at.height);
    const lesion = (x, y) => truth.data[(top + y) * truth.width + left + x] > 127;
    for (let y = 0; y < at.height; y++) for (let x = 0; x < at.width; x++) {
      const value = map.data[(top + y) * map.width + left + x];
      const grey = image.data[(top + y) * image.width + left + x];
      let colour = [grey, grey, grey];
      if (value > threshold) colour = heat((value - threshold) / (256 - threshold)).map((c) => opacity * c + (1 - opacity) * grey);
      const inside = part("truth").checked && lesion(x, y);
      const rim = inside && !(x && y && x < at.width - 1 && y < at.height - 1
        && lesion(x - 1, y) && lesion(x + 1, y) && lesion(x, y - 1) && lesion(x, y + 1));
      picture.data.set(rim ? [0, 200, 255, 255] : [...colour, 255], 4 * (y * at.width + x));
    }
    pen.putImageData(picture, 0, 0);
    const study = one.threshold === null ? "" : ` (the study's: ${one.threshold.toPrecision(3)})`;
    part("text").textContent =
      `${at.name}, ${one.model}: z = ${(at.z[0] + at.z[1] * slice).toFixed(0)} mm, `
      + `threshold ${units(threshold).toPrecision(3)}${study}`;
  }

  part("scan").replaceChildren(...scans.map((s) => new Option(s.name)));
  part("scan").addEventListener("change", pickScan);
  part("model").addEventListener("change", pickModel);
  for (const name of ["slice", "threshold", "opacity", "truth"]) part(name).addEventListener("input", draw);
  document.getElementById("view").hidden = false;
  await pickScan();
})();
