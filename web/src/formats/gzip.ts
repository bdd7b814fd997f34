/** Gzip by the browser's own streams. No more is unpacked than a caller asks for. */

/** Whether a file is gzip'd, by its first bytes. */
export async function isGzip(file: Blob): Promise<boolean> {
  const [a, b] = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  return a === 0x1f && b === 0x8b;
}

/** Bytes of a file, unpacked where it is packed, piece by piece from its beginning. */
export class Reading {
  private readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  private left: Uint8Array = new Uint8Array(0);

  constructor(file: Blob, packed: boolean) {
    const stream = packed
      ? file.stream().pipeThrough(new DecompressionStream("gzip") as unknown as ReadableWritablePair<Uint8Array, Uint8Array>)
      : file.stream();
    this.reader = (stream as ReadableStream<Uint8Array>).getReader();
  }

  /** Fills `to` with the next bytes; how many there were. */
  async fill(to: Uint8Array): Promise<number> {
    let filled = 0;
    while (filled < to.length) {
      if (this.left.length === 0) {
        const { done, value } = await this.reader.read();
        if (done) break;
        this.left = value;
      }
      const taken = this.left.subarray(0, to.length - filled);
      to.set(taken, filled);
      filled += taken.length;
      this.left = this.left.subarray(taken.length);
    }
    return filled;
  }

  /** Passes over the next bytes, at most so many; how many there were. */
  async skip(bytes: number): Promise<number> {
    let skipped = 0;
    const piece = new Uint8Array(Math.min(bytes, 2 ** 16));
    while (skipped < bytes) {
      const n = await this.fill(piece.subarray(0, Math.min(piece.length, bytes - skipped)));
      if (n === 0) break;
      skipped += n;
    }
    return skipped;
  }

  async end(): Promise<void> {
    await this.reader.cancel().catch(() => undefined);
  }
}

async function through(bytes: Uint8Array, stream: CompressionStream | DecompressionStream): Promise<Uint8Array> {
  const piped = new Blob([bytes as BlobPart]).stream().pipeThrough(stream as unknown as ReadableWritablePair);
  return new Uint8Array(await new Response(piped).arrayBuffer());
}

export function gzip(bytes: Uint8Array): Promise<Uint8Array> {
  return through(bytes, new CompressionStream("gzip"));
}

export function gunzip(bytes: Uint8Array): Promise<Uint8Array> {
  return through(bytes, new DecompressionStream("gzip"));
}
