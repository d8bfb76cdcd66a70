// Promise: a photo is made small before it is kept and sent; one that can't be is sent as it is.

const LONGEST_SIDE = 1600;
const QUALITY = 0.8;
const MAX_UPLOAD = 8_000_000;
const TAKEN = ["image/jpeg", "image/png", "image/webp"];

export async function shrunk(file) {
  try {
    const picture = await createImageBitmap(file, { imageOrientation: "from-image" });
    const scale = Math.min(1, LONGEST_SIDE / Math.max(picture.width, picture.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(picture.width * scale);
    canvas.height = Math.round(picture.height * scale);
    const pen = canvas.getContext("2d");
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
    picture.close();
    const small = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
    if (small) return small;
  } catch {
    // The server may still be able to read it.
  }
  if (TAKEN.includes(file.type) && file.size <= MAX_UPLOAD) return file;
  throw new Error("This picture can't be used: take another one.");
}
