// Stands in, on a Linux JVM, for the JNI half of the Android library: the natives of org.pytorch.executorch over the
// shared libraries of the executorch wheel. What the app calls is here, and no more.
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <jni.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

using executorch::extension::Module;
using executorch::extension::TensorPtr;
using executorch::runtime::Error;
using executorch::runtime::EValue;

namespace {

constexpr const char* kHybridData = "Lcom/facebook/jni/HybridData;";
constexpr const char* kDestructor = "Lcom/facebook/jni/HybridData$Destructor;";
constexpr jint kTensorCode = 1;  // EValue.TYPE_CODE_TENSOR

std::string text(JNIEnv* env, jstring string) {
  const char* chars = env->GetStringUTFChars(string, nullptr);
  std::string copy(chars);
  env->ReleaseStringUTFChars(string, chars);
  return copy;
}

// Throws what the Android library throws, unless something is on its way already.
void raise(JNIEnv* env, Error error, const std::string& what) {
  if (env->ExceptionCheck()) return;
  jclass type = env->FindClass("org/pytorch/executorch/ExecutorchRuntimeException");
  jmethodID make = env->GetStaticMethodID(
      type, "makeExecutorchException", "(ILjava/lang/String;)Ljava/lang/RuntimeException;");
  jobject thrown = env->CallStaticObjectMethod(
      type, make, static_cast<jint>(error), env->NewStringUTF(what.c_str()));
  if (!env->ExceptionCheck()) env->Throw(static_cast<jthrowable>(thrown));
}

// fbjni keeps the native object's address in Module.mHybridData.mDestructor.mNativePointer.
jobject destructor(JNIEnv* env, jobject hybrid) {
  jclass type = env->FindClass("com/facebook/jni/HybridData");
  return env->GetObjectField(hybrid, env->GetFieldID(type, "mDestructor", kDestructor));
}

jfieldID pointer(JNIEnv* env, jobject destructor) {
  return env->GetFieldID(env->GetObjectClass(destructor), "mNativePointer", "J");
}

// Returns null, with an exception on its way, for a module that was destroyed.
Module* module(JNIEnv* env, jobject self) {
  jfieldID field = env->GetFieldID(env->GetObjectClass(self), "mHybridData", kHybridData);
  jobject owner = destructor(env, env->GetObjectField(self, field));
  auto* found = reinterpret_cast<Module*>(env->GetLongField(owner, pointer(env, owner)));
  if (found == nullptr) raise(env, Error::InvalidState, "the module was destroyed");
  return found;
}

jobjectArray strings(JNIEnv* env, const std::vector<std::string>& values) {
  jobjectArray array = env->NewObjectArray(values.size(), env->FindClass("java/lang/String"), nullptr);
  for (size_t i = 0; i < values.size(); i++)
    env->SetObjectArrayElement(array, i, env->NewStringUTF(values[i].c_str()));
  return array;
}

// A view of a Java tensor's direct buffer: valid while the Java object lives.
TensorPtr borrow(JNIEnv* env, jobject tensor) {
  jclass type = env->FindClass("org/pytorch/executorch/Tensor");
  jmethodID shape = env->GetMethodID(type, "shape", "()[J");
  jmethodID buffer = env->GetMethodID(type, "getRawDataBuffer", "()Ljava/nio/Buffer;");
  jmethodID kind = env->GetMethodID(type, "dtypeJniCode", "()I");
  auto sizes = static_cast<jlongArray>(env->CallObjectMethod(tensor, shape));
  std::vector<jlong> longs(env->GetArrayLength(sizes));
  env->GetLongArrayRegion(sizes, 0, longs.size(), longs.data());
  std::vector<executorch::aten::SizesType> shaped(longs.begin(), longs.end());
  void* data = env->GetDirectBufferAddress(env->CallObjectMethod(tensor, buffer));
  auto scalar = static_cast<executorch::aten::ScalarType>(env->CallIntMethod(tensor, kind));
  return executorch::extension::from_blob(data, shaped, scalar);
}

jobject copied(JNIEnv* env, const executorch::aten::Tensor& tensor) {
  jclass type = env->FindClass("org/pytorch/executorch/Tensor");
  jmethodID allocate = env->GetStaticMethodID(type, "allocateByteBuffer", "(I)Ljava/nio/ByteBuffer;");
  jmethodID make = env->GetStaticMethodID(
      type, "nativeNewTensor",
      "(Ljava/nio/ByteBuffer;[JILcom/facebook/jni/HybridData;)Lorg/pytorch/executorch/Tensor;");
  jobject buffer = env->CallStaticObjectMethod(type, allocate, static_cast<jint>(tensor.nbytes()));
  std::memcpy(env->GetDirectBufferAddress(buffer), tensor.const_data_ptr(), tensor.nbytes());
  std::vector<jlong> longs(tensor.sizes().begin(), tensor.sizes().end());
  jlongArray sizes = env->NewLongArray(longs.size());
  env->SetLongArrayRegion(sizes, 0, longs.size(), longs.data());
  return env->CallStaticObjectMethod(type, make, buffer, sizes, static_cast<jint>(tensor.scalar_type()), nullptr);
}

// Tensors, and what constant methods return: int, double, bool, string.
jobject wrapped(JNIEnv* env, const EValue& value) {
  jclass type = env->FindClass("org/pytorch/executorch/EValue");
  auto from = [&](const char* argument) {
    std::string signature = std::string("(") + argument + ")Lorg/pytorch/executorch/EValue;";
    return env->GetStaticMethodID(type, "from", signature.c_str());
  };
  if (value.isTensor())
    return env->CallStaticObjectMethod(
        type, from("Lorg/pytorch/executorch/Tensor;"), copied(env, value.toTensor()));
  if (value.isInt()) return env->CallStaticObjectMethod(type, from("J"), static_cast<jlong>(value.toInt()));
  if (value.isDouble()) return env->CallStaticObjectMethod(type, from("D"), value.toDouble());
  if (value.isBool()) return env->CallStaticObjectMethod(type, from("Z"), static_cast<jboolean>(value.toBool()));
  if (value.isString()) {
    auto view = value.toString();
    std::string copy(view.data(), view.size());
    return env->CallStaticObjectMethod(type, from("Ljava/lang/String;"), env->NewStringUTF(copy.c_str()));
  }
  raise(env, Error::NotSupported, "an output that is no tensor, number or string");
  return nullptr;
}

}  // namespace

extern "C" {

JNIEXPORT void JNICALL
Java_com_facebook_jni_HybridData_00024Destructor_deleteNative(JNIEnv*, jclass, jlong address) {
  delete reinterpret_cast<Module*>(address);
}

JNIEXPORT jobject JNICALL
Java_org_pytorch_executorch_Module_initHybrid(JNIEnv* env, jclass, jstring path, jint mode, jint /*threads*/) {
  auto loaded = std::make_unique<Module>(text(env, path), static_cast<Module::LoadMode>(mode));
  if (Error error = loaded->load(); error != Error::Ok) {
    raise(env, error, "load");
    return nullptr;
  }
  jclass type = env->FindClass("com/facebook/jni/HybridData");
  jobject hybrid = env->NewObject(type, env->GetMethodID(type, "<init>", "()V"));
  if (hybrid == nullptr) return nullptr;
  jobject owner = destructor(env, hybrid);
  env->SetLongField(owner, pointer(env, owner), reinterpret_cast<jlong>(loaded.release()));
  return hybrid;
}

JNIEXPORT jobjectArray JNICALL
Java_org_pytorch_executorch_Module_getUsedBackends(JNIEnv* env, jobject self, jstring method) {
  Module* loaded = module(env, self);
  if (loaded == nullptr) return nullptr;
  auto about = loaded->method_meta(text(env, method));
  if (!about.ok()) {
    raise(env, about.error(), "no method " + text(env, method));
    return nullptr;
  }
  std::vector<std::string> names;
  for (size_t i = 0; i < about->num_backends(); i++) names.emplace_back(about->get_backend_name(i).get());
  return strings(env, names);
}

JNIEXPORT jobjectArray JNICALL
Java_org_pytorch_executorch_Module_executeNative(JNIEnv* env, jobject self, jstring method, jobjectArray inputs) {
  Module* loaded = module(env, self);
  if (loaded == nullptr) return nullptr;
  jclass type = env->FindClass("org/pytorch/executorch/EValue");
  jfieldID code = env->GetFieldID(type, "mTypeCode", "I");
  jmethodID to_tensor = env->GetMethodID(type, "toTensor", "()Lorg/pytorch/executorch/Tensor;");
  std::vector<EValue> arguments;
  std::vector<TensorPtr> alive;
  for (jsize i = 0; i < env->GetArrayLength(inputs); i++) {
    jobject input = env->GetObjectArrayElement(inputs, i);
    if (env->GetIntField(input, code) != kTensorCode) {
      raise(env, Error::NotSupported, "an input that is no tensor");
      return nullptr;
    }
    alive.push_back(borrow(env, env->CallObjectMethod(input, to_tensor)));
    arguments.emplace_back(alive.back());
  }
  auto result = loaded->execute(text(env, method), arguments);
  if (!result.ok()) {
    raise(env, result.error(), "execute " + text(env, method));
    return nullptr;
  }
  jobjectArray outputs = env->NewObjectArray(result->size(), type, nullptr);
  for (size_t i = 0; i < result->size(); i++) {
    jobject output = wrapped(env, (*result)[i]);
    if (output == nullptr) return nullptr;
    env->SetObjectArrayElement(outputs, i, output);
  }
  return outputs;
}

JNIEXPORT jobjectArray JNICALL
Java_org_pytorch_executorch_Module_getMethodsNative(JNIEnv* env, jobject self) {
  Module* loaded = module(env, self);
  if (loaded == nullptr) return nullptr;
  auto names = loaded->method_names();
  if (!names.ok()) {
    raise(env, names.error(), "method names");
    return nullptr;
  }
  return strings(env, {names->begin(), names->end()});
}

// ExecutorchRuntimeException asks for the log when it is made.
JNIEXPORT jobjectArray JNICALL Java_org_pytorch_executorch_Module_readLogBufferStaticNative(JNIEnv* env, jclass) {
  return strings(env, {});
}
}
