"use strict";
// What viewers share: bytes of pictures that hold a voxel in each pixel, and colours of a map.
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
