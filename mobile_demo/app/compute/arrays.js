// Pictures as numbers from 0 to 255: {height, width, data}, three floats a pixel (RGB), or four bytes as a canvas gives
// them (RGBA), whose fourth is not looked at.

export const GREY = 127.5;

export function picture(height, width, value = 0) {
  const data = new Float32Array(height * width * 3);
  if (value) data.fill(value);
  return { height, width, data };
}

export const channels = ({ height, width, data }) => data.length / (height * width);

// What a canvas gives, in the corner of a picture of at least that size; grey where there is no photo.
export function onGrey(pixels, height, width) {
  const result = picture(height, width, GREY);
  for (let y = 0; y < pixels.height; y++) {
    let from = 4 * y * pixels.width;
    let to = 3 * y * width;
    for (let x = 0; x < pixels.width; x++, from += 4, to += 3) {
      result.data[to] = pixels.data[from];
      result.data[to + 1] = pixels.data[from + 1];
      result.data[to + 2] = pixels.data[from + 2];
    }
  }
  return result;
}

// As bytes are rounded: to whole numbers from 0 to 255.
export function rounded(source) {
  const { data } = source;
  for (let i = 0; i < data.length; i++) data[i] = Math.min(255, Math.max(0, Math.round(data[i])));
  return source;
}
