import Foundation

/// `CheckBundle FOLDER`: one line per CoreML program; exit code 1 where one lies beyond its tolerance, or cannot be checked.
@main
struct CheckBundle {
    static func main() async {
        do {
            let arguments = CommandLine.arguments.dropFirst()
            guard arguments.count == 1, let path = arguments.first else {
                throw CheckError("usage: CheckBundle FOLDER, the bundle that `python -m export` wrote")
            }
            let bundle = ExportedBundle(folder: URL(fileURLWithPath: path, isDirectory: true))
            let pairs = try bundle.goldenPairs()
            var allWithin = true
            for program in try bundle.programs() {
                let parity = try await Parity(of: program, on: pairs)
                print(parity.sentence)
                allWithin = allWithin && parity.isWithin
            }
            exit(allWithin ? 0 : 1)
        } catch {
            FileHandle.standardError.write(Data("error: \(error)\n".utf8))
            exit(1)
        }
    }
}
