// A bundle's CoreML program on Apple's own runtime, against the bundle's golden pairs.
//
//     swift run --package-path swift golden-parity runs/demo/bundle
//
// The twin of `python -m export.predict_on_mac`, without Python: what an iOS engineer would copy. It needs macOS, and
// is run by the public macOS workflow only.
import CoreML
import Foundation

/// The largest difference from the golden answers, in units of [-1, 1]: other kernels sum in another order.
let limit: Float = 1e-3
let program = "model.fp32.mlpackage"

struct Fault: Error, CustomStringConvertible {
    let description: String
}

/// Reads raw little-endian float32; every Mac is little-endian.
func floats(_ url: URL) throws -> [Float] {
    let data = try Data(contentsOf: url)
    guard !data.isEmpty, data.count % 4 == 0 else { throw Fault(description: "\(url.path): no whole number of float32") }
    return data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
}

/// Runs one waveform; returns valence, arousal and the spread of both.
func answer(_ model: MLModel, _ waveform: ArraySlice<Float>) throws -> [Float] {
    let input = try MLMultiArray(shape: [1, NSNumber(value: waveform.count)], dataType: .float32)
    input.withUnsafeMutableBytes { bytes, _ in
        _ = bytes.bindMemory(to: Float.self).update(fromContentsOf: waveform)
    }
    let outputs = try model.prediction(from: MLDictionaryFeatureProvider(dictionary: ["waveform": input]))
    return try ["emotion", "spread"].flatMap { name -> [Float] in
        guard let values = outputs.featureValue(for: name)?.multiArrayValue, values.count == 2 else {
            throw Fault(description: "the program has no output \(name) of two numbers")
        }
        return [values[0].floatValue, values[1].floatValue]
    }
}

func check(_ bundle: URL) throws -> Bool {
    let golden = bundle.appendingPathComponent("golden")
    let waveforms = try floats(golden.appendingPathComponent("waveform.f32"))
    let emotions = try floats(golden.appendingPathComponent("emotion.f32"))
    let spreads = try floats(golden.appendingPathComponent("spread.f32"))
    let pairs = emotions.count / 2
    guard pairs > 0, spreads.count == emotions.count, waveforms.count % pairs == 0 else {
        throw Fault(description: "\(golden.path): waveforms and answers do not belong together; export the bundle again")
    }
    let compiled = try MLModel.compileModel(at: bundle.appendingPathComponent(program))
    let configuration = MLModelConfiguration()
    configuration.computeUnits = .cpuOnly // the only units whose arithmetic is float32 throughout
    let model = try MLModel(contentsOf: compiled, configuration: configuration)
    let samples = waveforms.count / pairs
    var worst: Float = 0
    for pair in 0..<pairs {
        let found = try answer(model, waveforms[(pair * samples)..<((pair + 1) * samples)])
        let wanted = [emotions[2 * pair], emotions[2 * pair + 1], spreads[2 * pair], spreads[2 * pair + 1]]
        for (one, other) in zip(found, wanted) {
            guard one.isFinite else { throw Fault(description: "pair \(pair): the program answered \(one)") }
            worst = max(worst, abs(one - other))
        }
    }
    let verdict = worst <= limit ? "within" : "BEYOND"
    print("\(program): \(pairs) golden pairs, largest difference \(worst) (\(verdict) the limit of \(limit))")
    return worst <= limit
}

guard CommandLine.arguments.count == 2 else {
    FileHandle.standardError.write(Data("usage: golden-parity BUNDLE\n".utf8))
    exit(2)
}
do {
    exit(try check(URL(fileURLWithPath: CommandLine.arguments[1])) ? 0 : 1)
} catch {
    FileHandle.standardError.write(Data("error: \(error)\n".utf8))
    exit(1)
}
