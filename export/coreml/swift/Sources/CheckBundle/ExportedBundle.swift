import Foundation

/// What went wrong, and what to do next, in one line.
struct CheckError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// A waveform in [-1, 1] and what PyTorch predicts: valence, arousal, and the interval68 of each.
struct GoldenPair {
    let waveform: [Float]
    let prediction: [Float]
}

/// A CoreML program of a bundle, and its tolerance: how far any of its predictions may lie from the golden ones.
struct Program {
    let file: URL
    let tolerance: Double
}

/// A folder that `python -m export` wrote.
struct ExportedBundle {
    let folder: URL

    /// The CoreML programs that parity.json lists, each with its tolerance, which `export/parity.py` wrote: nothing is computed here.
    func programs() throws -> [Program] {
        let records = try JSONDecoder().decode([ParityRecord].self, from: contents("parity.json"))
        let packages = records.filter { $0.artefact.hasSuffix(".mlpackage") }
        guard !packages.isEmpty else {
            throw CheckError("\(folder.path): holds no CoreML program; was it exported with CoreML?")
        }
        return try packages.map { record in
            guard let tolerance = record.tolerance else {
                throw CheckError("parity.json: \(record.artefact) has no tolerance; export the bundle again")
            }
            return Program(file: folder.appendingPathComponent(record.artefact), tolerance: tolerance)
        }
    }

    /// The golden pairs: every language tests against these bytes.
    func goldenPairs() throws -> [GoldenPair] {
        let about = try JSONDecoder().decode(About.self, from: contents("bundle.json"))
        guard let samples = about.input.shape.last, samples > 0 else {
            throw CheckError("bundle.json: the input has no length; export the bundle again")
        }
        let waveforms = try rows("golden/waveform.f32", width: samples)
        let emotions = try rows("golden/emotion.f32", width: 2)
        let intervals = try rows("golden/interval68.f32", width: 2)
        guard waveforms.count == emotions.count, waveforms.count == intervals.count else {
            throw CheckError(
                "\(waveforms.count) golden waveforms, \(emotions.count) emotions, \(intervals.count) intervals; "
                    + "export the bundle again")
        }
        return waveforms.indices.map { row in
            GoldenPair(waveform: waveforms[row], prediction: emotions[row] + intervals[row])
        }
    }

    /// Read raw little-endian float32 as rows of `width` numbers.
    private func rows(_ name: String, width: Int) throws -> [[Float]] {
        let data = try contents(name)
        guard !data.isEmpty, data.count % (4 * width) == 0 else {
            throw CheckError("\(name): no whole number of rows of \(width) float32; export the bundle again")
        }
        let numbers: [Float] = data.withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map { place in
                let bits = bytes.loadUnaligned(fromByteOffset: 4 * place, as: UInt32.self)
                return Float(bitPattern: UInt32(littleEndian: bits))
            }
        }
        return stride(from: 0, to: numbers.count, by: width).map { start in
            Array(numbers[start..<start + width])
        }
    }

    private func contents(_ name: String) throws -> Data {
        let file = folder.appendingPathComponent(name)
        guard let data = try? Data(contentsOf: file) else {
            throw CheckError("\(file.path): cannot be read; pass the folder that `python -m export` wrote")
        }
        return data
    }
}

private struct ParityRecord: Decodable {
    let artefact: String
    let tolerance: Double?
}

private struct About: Decodable {
    struct Input: Decodable {
        let shape: [Int]
    }

    let input: Input
}
