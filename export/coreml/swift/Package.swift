// swift-tools-version:5.9
// Checks the CoreML programs of a bundle on a Mac, with nothing but Foundation and CoreML:
//
//     swift run --package-path export/coreml/swift CheckBundle runs/demo/bundle
//
// Linux has no CoreML, so this package has been built and run by the workflow's macOS job only.
import PackageDescription

let package = Package(
    name: "CheckBundle",
    platforms: [.macOS(.v14)],  // the programs are written for iOS 17 and macOS 14
    targets: [.executableTarget(name: "CheckBundle")]
)
