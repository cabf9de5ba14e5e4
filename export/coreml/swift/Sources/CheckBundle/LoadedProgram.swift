import CoreML
import Foundation

/// A program that Apple's runtime has compiled and loaded.
struct LoadedProgram {
    private let model: MLModel

    /// Compile a package on this machine, as an app does that downloads one; CPU only, so that every Mac does the same.
    init(_ file: URL) async throws {
        let compiled = try await MLModel.compileModel(at: file)
        let configuration = MLModelConfiguration()
        configuration.computeUnits = .cpuOnly
        model = try MLModel(contentsOf: compiled, configuration: configuration)
    }

    /// Predict a waveform: valence, arousal, and the interval68 of each.
    func predict(_ waveform: [Float]) throws -> [Float] {
        let input = MLMultiArray(MLShapedArray<Float>(scalars: waveform, shape: [1, waveform.count]))
        let features = ["waveform": MLFeatureValue(multiArray: input)]
        let output = try model.prediction(from: MLDictionaryFeatureProvider(dictionary: features))
        return try ["emotion", "interval68"].flatMap { (name: String) -> [Float] in
            guard let values = output.featureValue(for: name)?.multiArrayValue, values.count == 2 else {
                throw CheckError("the program has no output \(name) of two numbers; is it one of ours?")
            }
            return MLShapedArray<Float>(values).scalars
        }
    }
}

/// How far a program's predictions lie from the golden ones.
struct Parity {
    let name: String
    let pairs: Int
    let tolerance: Double
    /// Found less golden, over all pairs and all four numbers.
    let errors: [Double]

    init(of program: Program, on pairs: [GoldenPair]) async throws {
        let loaded = try await LoadedProgram(program.file)
        name = program.file.lastPathComponent
        self.pairs = pairs.count
        tolerance = program.tolerance
        errors = try pairs.flatMap { (pair: GoldenPair) -> [Double] in
            zip(try loaded.predict(pair.waveform), pair.prediction).map { found, golden in Double(found) - Double(golden) }
        }
    }

    /// The largest difference; not a number where one of them is none.
    var largest: Double {
        errors.contains(where: \.isNaN) ? .nan : errors.map { abs($0) }.max() ?? .nan
    }

    /// Not a number is not within.
    var isWithin: Bool {
        largest <= tolerance
    }

    /// The same line as `python -m export.coreml.predict_on_mac` prints.
    var sentence: String {
        let mean = errors.map { abs($0) }.reduce(0, +) / Double(errors.count)
        let signed = errors.reduce(0, +) / Double(errors.count)
        let verdict = isWithin ? "within" : "BEYOND"
        return "\(name): \(pairs) golden pairs, largest difference "
            + String(format: "%.1e (%@ the tolerance of %.0e), mean %.1e, signed %+.1e", largest, verdict, tolerance, mean, signed)
    }
}
