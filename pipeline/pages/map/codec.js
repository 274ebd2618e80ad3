// Blocks of numbers as text: the inverse of encoded() in pipeline/pages/map_data.py.

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const letters = atob(base64);
  const bytes = new Uint8Array(letters.length);
  for (let place = 0; place < bytes.length; place += 1) bytes[place] = letters.charCodeAt(place);
  return bytes;
}

async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** A matrix of codes, row after row: base64, zlib, low bytes before high ones, what a row adds to the last. */
export async function decoded(text, columns) {
  const planes = await inflated(bytesOf(text));
  const count = planes.length / 2;
  const codes = new Uint16Array(count);
  for (let place = 0; place < count; place += 1) {
    const folded = planes[place] | (planes[count + place] << 8);
    const change = (folded >>> 1) ^ -(folded & 1);
    codes[place] = (place < columns ? 0 : codes[place - columns]) + change;
  }
  return codes;
}
