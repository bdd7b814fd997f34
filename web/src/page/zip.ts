/** A zip of files as they are: label maps are packed already. PKWARE's APPNOTE 6.3.10, method "stored", names in UTF-8.
 *
 *     for each file:  local header, name, bytes
 *     then:           for each file a central header and its name; the end record
 */

export interface Member {
  name: string;
  bytes: Uint8Array;
}

/** A number and how many bytes it takes, little end first. */
type Field = readonly [value: number, bytes: 2 | 4];
type Bytes = Uint8Array<ArrayBuffer>;

const LOCAL: Field = [0x04034b50, 4];
const CENTRAL: Field = [0x02014b50, 4];
const END: Field = [0x06054b50, 4];
const VERSION: Field = [20, 2];
const UTF8: Field = [0x0800, 2];
const STORED: Field = [0, 2];
const NONE: Field = [0, 2];

/** Files of less than 4 GB together; `when` is the time that all of them get. */
export function zip(members: readonly Member[], when: Date): Blob {
  const files: Bytes[] = [];
  const central: Bytes[] = [];
  let offset = 0;
  for (const { name, bytes } of members) {
    const encoded = new TextEncoder().encode(name);
    const size: Field = [bytes.length, 4];
    const about: Field[] = [
      VERSION,
      UTF8,
      STORED,
      ...dosTime(when),
      [crc32(bytes), 4],
      size,
      size,
      [encoded.length, 2],
      NONE,
    ];
    const local = record([LOCAL, ...about]);
    files.push(local, encoded, bytes as Bytes);
    central.push(record([CENTRAL, VERSION, ...about, NONE, NONE, NONE, [0, 4], [offset, 4]]), encoded);
    offset += local.length + encoded.length + bytes.length;
  }
  const listed = central.reduce((sum, part) => sum + part.length, 0);
  const number: Field = [members.length, 2];
  const end = record([END, NONE, NONE, number, number, [listed, 4], [offset, 4], NONE]);
  return new Blob([...files, ...central, end], { type: "application/zip" });
}

function record(fields: readonly Field[]): Bytes {
  const made = new DataView(new ArrayBuffer(fields.reduce((sum, [, bytes]) => sum + bytes, 0)));
  let at = 0;
  for (const [value, bytes] of fields) {
    if (bytes === 2) made.setUint16(at, value, true);
    else made.setUint32(at, value, true);
    at += bytes;
  }
  return new Uint8Array(made.buffer);
}

/** MS-DOS time and date: two seconds are one, years count from 1980. */
function dosTime(when: Date): [Field, Field] {
  const time = (when.getHours() << 11) | (when.getMinutes() << 5) | (when.getSeconds() >> 1);
  const date = ((when.getFullYear() - 1980) << 9) | ((when.getMonth() + 1) << 5) | when.getDate();
  return [
    [time, 2],
    [date, 2],
  ];
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

/** CRC-32 of IEEE 802.3. */
export function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
