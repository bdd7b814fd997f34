/** Gzip of several members, or with zeros behind, which browsers' own streams refuse and `zlib` reads. RFC 1951 and 1952;
 * each member's checksum is checked. Slower than theirs by a few times, and asked only where they gave up. */

const LENGTH_FROM = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258];
const LENGTH_BITS = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const DISTANCE_FROM = [1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577];
const DISTANCE_BITS = [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13];
const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const LONGEST = 15; // bits of a code

const CRC = Int32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

/** The first `most` bytes in a gzip file's members. Throws where they are damaged or cut short before that. */
export function inflated(content: Uint8Array, most: number): Uint8Array {
  const to = new Sink(most);
  let at = 0;
  while (at < content.length && to.length < most) {
    at = member(content, at, to);
    while (at < content.length && content[at] === 0) at++;
  }
  return to.bytes;
}

/** Unpacks the member that begins at a byte; where the next one does. */
function member(content: Uint8Array, at: number, to: Sink): number {
  const byte = (n: number): number => {
    if (n >= content.length) throw new Error("cut short");
    return content[n];
  };
  if (byte(at) !== 0x1f || byte(at + 1) !== 0x8b || byte(at + 2) !== 8) throw new Error("something else follows");
  const flags = byte(at + 3);
  let start = at + 10;
  if (flags & 4) start += 2 + byte(start) + 256 * byte(start + 1);
  for (const text of [8, 16]) if (flags & text) while (byte(start++) !== 0);
  if (flags & 2) start += 2;
  const before = to.length;
  const end = new Bits(content, start, to).blocks();
  if (to.full) return content.length;
  const view = new DataView(content.buffer, content.byteOffset);
  if (end + 8 > content.length) throw new Error("cut short");
  const made = to.bytes.subarray(before);
  if (view.getUint32(end, true) !== checksum(made) || view.getUint32(end + 4, true) !== made.length % 2 ** 32)
    throw new Error("its checksum differs");
  return end + 8;
}

function checksum(bytes: Uint8Array): number {
  let crc = -1;
  for (let i = 0; i < bytes.length; i++) crc = CRC[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** What was unpacked, at most so many bytes. */
class Sink {
  length = 0;
  full = false; // more would have come
  private room: Uint8Array;

  constructor(private readonly most: number) {
    this.room = new Uint8Array(Math.min(most, 2 ** 16));
  }

  get bytes(): Uint8Array {
    return this.room.subarray(0, this.length);
  }

  put(byte: number): void {
    if (this.length === this.most) {
      this.full = true;
      return;
    }
    if (this.length === this.room.length) {
      const grown = new Uint8Array(Math.min(this.most, 2 * this.room.length));
      grown.set(this.room);
      this.room = grown;
    }
    this.room[this.length++] = byte;
  }

  repeat(distance: number, length: number): void {
    if (distance > this.length) throw new Error("it refers to what was before it");
    for (let n = 0; n < length && !this.full; n++) this.put(this.room[this.length - distance]);
  }
}

/** Codes of one alphabet: how many of each length, and the symbols in the order of their codes. */
interface Codes {
  counts: Uint16Array;
  symbols: Uint16Array;
}

function codesOf(lengths: ArrayLike<number>): Codes {
  const counts = new Uint16Array(LONGEST + 1);
  for (let n = 0; n < lengths.length; n++) counts[lengths[n]]++;
  const offsets = new Uint16Array(LONGEST + 2);
  for (let bits = 1; bits <= LONGEST; bits++) offsets[bits + 1] = offsets[bits] + counts[bits];
  const symbols = new Uint16Array(lengths.length);
  for (let n = 0; n < lengths.length; n++) if (lengths[n]) symbols[offsets[lengths[n]]++] = n;
  return { counts, symbols };
}

const FIXED = codesOf(Array.from({ length: 288 }, (_, n) => (n < 144 ? 8 : n < 256 ? 9 : n < 280 ? 7 : 8)));
const FIXED_DISTANCES = codesOf(Array<number>(30).fill(5));

/** Blocks of deflate, bit by bit. */
class Bits {
  private held = 0;
  private count = 0;

  constructor(
    private readonly content: Uint8Array,
    private at: number,
    private readonly to: Sink,
  ) {}

  /** Unpacks all blocks of a member, or as many as there is room for; the byte behind them. */
  blocks(): number {
    for (let last = 0; !last && !this.to.full; ) {
      last = this.bits(1);
      const kind = this.bits(2);
      if (kind === 0) this.stored();
      else if (kind === 1) this.coded(FIXED, FIXED_DISTANCES);
      else if (kind === 2) this.coded(...this.codes());
      else throw new Error("a block of no kind");
    }
    return this.at;
  }

  private bits(n: number): number {
    while (this.count < n) {
      if (this.at >= this.content.length) throw new Error("cut short");
      this.held |= this.content[this.at++] << this.count;
      this.count += 8;
    }
    const found = this.held & ((1 << n) - 1);
    this.held >>>= n;
    this.count -= n;
    return found;
  }

  private symbol({ counts, symbols }: Codes): number {
    for (let bits = 1, code = 0, first = 0, index = 0; bits <= LONGEST; bits++) {
      code |= this.bits(1);
      const n = counts[bits];
      if (code - n < first) return symbols[index + code - first];
      index += n;
      first = (first + n) << 1;
      code <<= 1;
    }
    throw new Error("a code of no symbol");
  }

  private stored(): void {
    this.held = this.count = 0;
    const length = this.bits(16);
    if ((this.bits(16) ^ 0xffff) !== length) throw new Error("a block of no length");
    for (let n = 0; n < length; n++) this.to.put(this.bits(8));
  }

  private codes(): [Codes, Codes] {
    const [literals, distances, named] = [this.bits(5) + 257, this.bits(5) + 1, this.bits(4) + 4];
    const own = new Uint8Array(19);
    for (let n = 0; n < named; n++) own[ORDER[n]] = this.bits(3);
    const codes = codesOf(own);
    const lengths = new Uint8Array(literals + distances);
    for (let n = 0; n < lengths.length; ) {
      const symbol = this.symbol(codes);
      if (symbol < 16) {
        lengths[n++] = symbol;
        continue;
      }
      const value = symbol === 16 ? lengths[n - 1] : 0;
      const times = symbol === 16 ? 3 + this.bits(2) : symbol === 17 ? 3 + this.bits(3) : 11 + this.bits(7);
      if (n + times > lengths.length || (symbol === 16 && n === 0)) throw new Error("too many codes");
      lengths.fill(value, n, (n += times));
    }
    return [codesOf(lengths.subarray(0, literals)), codesOf(lengths.subarray(literals))];
  }

  private coded(literals: Codes, distances: Codes): void {
    while (!this.to.full) {
      const symbol = this.symbol(literals);
      if (symbol === 256) return;
      if (symbol < 256) {
        this.to.put(symbol);
        continue;
      }
      const n = symbol - 257;
      if (n > 28) throw new Error("a length of no code");
      const length = LENGTH_FROM[n] + this.bits(LENGTH_BITS[n]);
      const m = this.symbol(distances);
      if (m > 29) throw new Error("a distance of no code");
      this.to.repeat(DISTANCE_FROM[m] + this.bits(DISTANCE_BITS[m]), length);
    }
  }
}
