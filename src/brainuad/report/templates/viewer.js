"use strict";
// A scan in three planes: grey, voxels of a model's map above the threshold in colour, the true lesion outlined.
(async () => {
  const scans = JSON.parse(document.getElementById("view-data").textContent);
  const part = (name) => document.getElementById(name);
  let scan = null, model = null, sheets = null;
  const byte = () => Number(part("view-threshold").value);
  const units = (value) => model.low + (value / 255) * (model.high - model.low);

  const planes = threePlanes({
    threshold: byte,
    white: () => 255,
    opacity: () => part("view-opacity").value / 100,
    shown: () => true,
    outlines: () => (part("view-truth").checked ? [{ sheet: sheets.truth, colour: "#00c8ff" }] : []),
    radiological: () => part("view-radiological").checked,
    wheel: () => part("view").contains(document.activeElement), // else the page scrolls
  }, () => {
    const value = planes.value();
    const said = value ? units(value).toPrecision(3) : `under ${model.low.toPrecision(3)}`;
    const study = model.threshold === null ? "" : ` (the study's: ${model.threshold.toPrecision(3)})`;
    part("view-text").textContent = `${scan.dataset} ${scan.scan}, ${model.model}: MNI ${planes.world(scan.toMni).join(", ")} mm, `
      + `map ${said}, threshold ${units(byte()).toPrecision(3)}${study}`;
  });

  const sequences = sequenceChoice(part("view-sequence"), (image) => { sheets.image = image; planes.draw(); });

  async function show(other) {
    scan = scans[part("view-scan").selectedIndex];
    if (other) {
      const before = part("view-model").value;
      part("view-model").replaceChildren(...scan.models.map((each) => new Option(each.model)));
      if (scan.models.some((each) => each.model === before)) part("view-model").value = before;
      planes.at.splice(0, 3, ...scan.start);
    }
    const one = model = scan.models[part("view-model").selectedIndex];
    const grey = sequences.open(scan.names ?? [""], [scan.image, ...(scan.further ?? [])]);
    const [image, truth, map] = await Promise.all([grey, scan.truth, model.map].map(pixels));
    if (one !== model) return; // the selection changed meanwhile
    const { threshold, low, high } = model;
    part("view-threshold").value = threshold === null ? 128 : Math.round((255 * (threshold - low)) / (high - low));
    sheets = { image, truth, map };
    planes.open(scan, sheets);
  }

  for (const link of document.querySelectorAll("[data-scan]")) link.addEventListener("click", async () => {
    const { dataset, scan: name, model: wanted } = link.dataset;
    part("view-scan").selectedIndex = scans.findIndex((each) => each.dataset === dataset && each.scan === name);
    await show(true);
    part("view-model").value = wanted;
    await show(false);
    part("view").focus({ preventScroll: true });
  });
  const next = (name, other) => (count) => () => {
    const list = part(name);
    list.selectedIndex = Math.max(0, Math.min(list.length - 1, list.selectedIndex + count));
    return show(other);
  };
  const [scanBy, modelBy] = [next("view-scan", true), next("view-model", false)];
  const flip = (name) => () => { part(name).checked = !part(name).checked; part(name).dispatchEvent(new Event("input")); };
  const shift = (count) => () => { part("view-threshold").value = byte() + count; planes.draw(); };
  listen(part("view"), {
    ...planes.keys, n: scanBy(1), p: scanBy(-1), ".": modelBy(1), ",": modelBy(-1), t: flip("view-truth"), r: flip("view-radiological"),
    "+": shift(4), "-": shift(-4), "=": shift(4), q: sequences.next,
  });
  part("view-scan").replaceChildren(...scans.map((each) => new Option(`${each.dataset}: ${each.scan}`)));
  part("view-scan").addEventListener("change", () => show(true));
  part("view-model").addEventListener("change", () => show(false));
  for (const name of ["threshold", "opacity", "truth", "radiological"]) part(`view-${name}`).addEventListener("input", planes.draw);
  part("view-radiological").addEventListener("input", () => { remembered.radiological = part("view-radiological").checked; });
  part("view-radiological").checked = remembered.radiological;
  part("view").hidden = false;
  await show(true);
})();
