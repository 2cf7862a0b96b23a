/* Serves requests from a SavedModel through the C++ loader that TensorFlow Serving uses, in a process
 * without Python.
 *
 *     run_signature EXPORT_DIR < REQUESTS
 *
 * REQUESTS are lines of words, those of `input` and `output` for the `run` that follows them:
 *
 *     input TENSOR DTYPE FILE RANK DIMENSION...    feeds the bytes of FILE to TENSOR, such as "x:0"
 *     output TENSOR FILE                           writes the bytes of TENSOR to FILE
 *     run
 *
 * A DTYPE is a number of the enum TF_DataType, which is also that of the protocol buffers. A string in
 * a FILE is its length, as a uint64, and its bytes; only outputs may hold strings. The answers:
 *
 *     load SECONDS
 *     run CODE SECONDS MESSAGE, in one line        for each `run`; if CODE is OK, for each output:
 *     output FILE DTYPE RANK DIMENSION...
 *     peak BYTES                                   resident memory
 *
 * A request that fails is answered with its code, and the next one is served. The exit status tells
 * only whether the model was loaded and the requests were understood.
 */

#define _POSIX_C_SOURCE 199309L /* for clock_gettime */

#include <ctype.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/tf_tstring.h"

#define MAX_WORD 1023 /* keep in step with WORD */
#define WORD "%1023s"
#define MAX_RANK 16
#define MAX_TENSORS 64

typedef struct {
  int num_inputs, num_outputs;
  TF_Output inputs[MAX_TENSORS], outputs[MAX_TENSORS];
  TF_Tensor *fed[MAX_TENSORS], *fetched[MAX_TENSORS];
  char files[MAX_TENSORS][MAX_WORD + 1]; /* of the outputs */
} Request;

#define NAMED(code) [TF_##code] = #code
static const char* const CODES[] = {
    NAMED(OK),
    NAMED(CANCELLED),
    NAMED(UNKNOWN),
    NAMED(INVALID_ARGUMENT),
    NAMED(DEADLINE_EXCEEDED),
    NAMED(NOT_FOUND),
    NAMED(ALREADY_EXISTS),
    NAMED(PERMISSION_DENIED),
    NAMED(UNAUTHENTICATED),
    NAMED(RESOURCE_EXHAUSTED),
    NAMED(FAILED_PRECONDITION),
    NAMED(ABORTED),
    NAMED(OUT_OF_RANGE),
    NAMED(UNIMPLEMENTED),
    NAMED(INTERNAL),
    NAMED(UNAVAILABLE),
    NAMED(DATA_LOSS),
};

/* Ends the program with a message unless what it needs holds. */
__attribute__((format(printf, 2, 3)))
static void check(int holds, const char* format, ...) {
  if (holds) return;
  va_list arguments;
  va_start(arguments, format);
  fputs("run_signature: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(1);
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + 1e-9 * now.tv_nsec;
}

/* Not from getrusage: its peak outlives exec, so that of a larger parent would be reported. */
static long long peak_bytes(void) {
  char line[256];
  long long kibibytes = -1;
  FILE* file = fopen("/proc/self/status", "r");
  check(file != NULL, "cannot read /proc/self/status");
  while (kibibytes < 0 && fgets(line, sizeof line, file)) sscanf(line, "VmHWM: %lld", &kibibytes);
  fclose(file);
  check(kibibytes >= 0, "no VmHWM in /proc/self/status");
  return 1024 * kibibytes;
}

static void read_word(char* word) { check(scanf(WORD, word) == 1, "the requests end too early"); }

static long long read_number(void) {
  long long number;
  check(scanf("%lld", &number) == 1, "not a number where one is due");
  return number;
}

static TF_Output find_tensor(TF_Graph* graph, const char* name) {
  char operation[MAX_WORD + 1];
  strcpy(operation, name);
  char* colon = strrchr(operation, ':');
  check(colon != NULL, "%s: the name of a tensor ends in :0 or the like", name);
  *colon = '\0';
  TF_Output tensor = {TF_GraphOperationByName(graph, operation), atoi(colon + 1)};
  check(tensor.oper != NULL && tensor.index < TF_OperationNumOutputs(tensor.oper),
        "%s: no such tensor", name);
  return tensor;
}

static TF_Tensor* read_tensor(void) {
  char name[MAX_WORD + 1];
  TF_DataType dtype = (TF_DataType)read_number();
  read_word(name);
  int rank = (int)read_number();
  check(0 <= rank && rank <= MAX_RANK, "rank of 0 to %d. Received: %d", MAX_RANK, rank);
  int64_t shape[MAX_RANK];
  size_t num_bytes = TF_DataTypeSize(dtype);
  check(num_bytes > 0, "%s: inputs of dtype %d are not supported", name, (int)dtype);
  for (int i = 0; i < rank; ++i) num_bytes *= (size_t)(shape[i] = read_number());

  TF_Tensor* tensor = TF_AllocateTensor(dtype, shape, rank, num_bytes);
  FILE* file = fopen(name, "rb");
  check(file != NULL, "%s: cannot be read", name);
  check(fread(TF_TensorData(tensor), 1, num_bytes, file) == num_bytes && fgetc(file) == EOF,
        "%s: not the %zu bytes of its shape", name, num_bytes);
  fclose(file);
  return tensor;
}

static void write_tensor(const TF_Tensor* tensor, const char* name) {
  FILE* file = fopen(name, "wb");
  check(file != NULL, "%s: cannot be written", name);
  if (TF_TensorType(tensor) == TF_STRING) {
    const TF_TString* strings = TF_TensorData(tensor);
    for (int64_t i = 0; i < TF_TensorElementCount(tensor); ++i) {
      uint64_t size = TF_StringGetSize(&strings[i]);
      fwrite(&size, sizeof size, 1, file);
      fwrite(TF_StringGetDataPointer(&strings[i]), 1, size, file);
    }
  } else {
    fwrite(TF_TensorData(tensor), 1, TF_TensorByteSize(tensor), file);
  }
  check(!ferror(file) && fclose(file) == 0, "%s: cannot be written", name);

  printf("output %s %d %d", name, (int)TF_TensorType(tensor), TF_NumDims(tensor));
  for (int i = 0; i < TF_NumDims(tensor); ++i) printf(" %lld", (long long)TF_Dim(tensor, i));
  putchar('\n');
}

static void serve(TF_Session* session, Request* request) {
  TF_Status* status = TF_NewStatus();
  double start = seconds();
  TF_SessionRun(session, NULL, request->inputs, request->fed, request->num_inputs,
                request->outputs, request->fetched, request->num_outputs, NULL, 0, NULL, status);
  double end = seconds();

  printf("run %s %.6f ", CODES[TF_GetCode(status)], end - start);
  for (const char* c = TF_Message(status); *c; ++c) putchar(iscntrl((unsigned char)*c) ? ' ' : *c);
  putchar('\n');

  for (int i = 0; i < request->num_inputs; ++i) TF_DeleteTensor(request->fed[i]);
  for (int i = 0; i < request->num_outputs && TF_GetCode(status) == TF_OK; ++i) {
    write_tensor(request->fetched[i], request->files[i]);
    TF_DeleteTensor(request->fetched[i]);
  }
  request->num_inputs = request->num_outputs = 0;
  TF_DeleteStatus(status);
}

int main(int argc, char** argv) {
  check(argc == 2, "usage: run_signature EXPORT_DIR < REQUESTS");
  const char* tags[] = {"serve"};
  TF_Status* status = TF_NewStatus();
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  double start = seconds();
  TF_Session* session =
      TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1, graph, NULL, status);
  check(TF_GetCode(status) == TF_OK, "%s: %s", argv[1], TF_Message(status));
  printf("load %.6f\n", seconds() - start);

  static Request request; /* too large for the stack */
  char word[MAX_WORD + 1];
  while (scanf(WORD, word) == 1) {
    if (strcmp(word, "input") == 0) {
      check(request.num_inputs < MAX_TENSORS, "more than %d inputs", MAX_TENSORS);
      read_word(word);
      request.inputs[request.num_inputs] = find_tensor(graph, word);
      request.fed[request.num_inputs++] = read_tensor();
    } else if (strcmp(word, "output") == 0) {
      check(request.num_outputs < MAX_TENSORS, "more than %d outputs", MAX_TENSORS);
      read_word(word);
      request.outputs[request.num_outputs] = find_tensor(graph, word);
      read_word(request.files[request.num_outputs++]);
    } else {
      check(strcmp(word, "run") == 0, "%s: not one of input, output and run", word);
      serve(session, &request);
    }
  }
  printf("peak %lld\n", peak_bytes());

  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  TF_DeleteStatus(status);
  return 0;
}
