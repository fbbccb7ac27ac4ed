"use strict";
// The scan in grey, voxels of the map above the threshold in colour, the outline of the mask, and the findings.
(async () => {
  const view = JSON.parse(document.getElementById("view-data").textContent);
  const part = (name) => document.getElementById(name);
  const sheets = { image: await pixels(view.image), map: await pixels(view.map), mask: await pixels(view.mask) };
  const byte = () => Number(part("threshold").value);
  const units = (value) => view.low + (value / 255) * (view.high - view.low);
  const first = view.threshold === null ? 128 : Math.round((255 * (view.threshold - view.low)) / (view.high - view.low));
  let chosen = view.findings.length ? 0 : -1;

  const planes = threePlanes({
    threshold: byte,
    white: () => Number(part("white").value),
    opacity: () => part("opacity").value / 100,
    shown: () => part("map-on").checked,
    outlines: () => (part("mask-on").checked ? [{ sheet: sheets.mask, colour: "#3ce1ff" }] : []),
    radiological: () => part("radiological").checked,
    wheel: () => true,
  }, () => {
    const value = planes.value();
    const said = value ? units(value).toPrecision(3) : `under ${view.low.toPrecision(3)}`;
    part("place").textContent = `scan ${planes.world(view.toScan).join(", ")} mm · MNI ${planes.world(view.toMni).join(", ")} mm · map ${said}`;
    const own = view.threshold !== null && byte() === first ? " (of the mask)" : "";
    part("threshold-value").textContent = units(byte()).toPrecision(3) + own;
    document.querySelectorAll("#findings tbody tr").forEach((row, i) => row.classList.toggle("chosen", i === chosen));
  });

  function go(number) {
    if (number < 0 || number >= view.findings.length) return;
    chosen = number;
    planes.go(view.findings[number]);
  }

  const sequences = sequenceChoice(part("sequence"), (image) => { sheets.image = image; planes.draw(); });
  sequences.open(view.names ?? [""], [view.image, ...(view.further ?? [])]);

  const flip = (name) => () => { part(name).checked = !part(name).checked; part(name).dispatchEvent(new Event("input")); };
  const shift = (count) => () => { part("threshold").value = byte() + count; planes.draw(); };
  const numbered = Object.fromEntries([..."123456789"].map((digit) => [digit, () => go(Number(digit) - 1)]));
  listen(document, {
    ...planes.keys, ...numbered, n: () => go(chosen + 1), p: () => go(chosen - 1),
    m: flip("map-on"), o: flip("mask-on"), r: flip("radiological"), "+": shift(4), "-": shift(-4), "=": shift(4), q: sequences.next,
  });
  for (const name of ["threshold", "opacity", "white", "map-on", "mask-on", "radiological"]) part(name).addEventListener("input", planes.draw);
  part("radiological").addEventListener("input", () => { remembered.radiological = part("radiological").checked; });
  document.querySelectorAll("#findings tbody tr").forEach((row, i) => row.addEventListener("click", () => go(i)));
  part("radiological").checked = remembered.radiological;
  part("threshold").value = first;
  part("view").hidden = false;
  planes.at.splice(0, 3, ...view.start);
  planes.open(view, sheets);
})();
