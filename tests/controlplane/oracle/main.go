// The oracle answers what kube-scheduler would do. It links the pinned scheduler, reads one JSON question a line and
// prints one JSON answer a line: what every plugin says about every node, the scores, the choice and the texts.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime/debug"

	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
)

// Question is one line of input. Objects make up the cluster; Probes are pods that are judged one by one on it as it
// stands; Steps are then carried out in turn. Turns happen to the queue alone.
type Question struct {
	Config      json.RawMessage   `json:"config"`
	Validate    bool              `json:"validate"`
	Parallelism int32             `json:"parallelism"`
	Default     bool              `json:"default"`
	Objects     []json.RawMessage `json:"objects"`
	Probes      []json.RawMessage `json:"probes"`
	Steps       []Step            `json:"steps"`
	Turns       []Turn            `json:"turns"`
	Brief       bool              `json:"brief"`
}

// Answer is one line of output.
type Answer struct {
	Error   string   `json:"error,omitempty"`
	Errors  []string `json:"errors,omitempty"`
	Order   []string `json:"order,omitempty"`
	Probes  []Probe  `json:"probes,omitempty"`
	Steps   []Done   `json:"steps,omitempty"`
	Queue   *Queue   `json:"queue,omitempty"`
	Profile any      `json:"profile,omitempty"`
}

func main() {
	gates := flag.String("feature-gates", "OpportunisticBatching=false,SchedulerAsyncPreemption=false", "feature gates")
	flag.Parse()
	klog.SetLogger(klog.Logger{})
	klog.LogToStderr(false)
	klog.SetOutput(discard{})
	if err := utilfeature.DefaultMutableFeatureGate.Set(*gates); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(2)
	}
	metrics.Register()
	debug.SetGCPercent(400)
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	encoder := json.NewEncoder(out)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) == 0 && err != nil {
			return
		}
		var question Question
		answer := Answer{}
		if err := json.Unmarshal(line, &question); err != nil {
			answer.Error = err.Error()
		} else {
			answer = respond(&question)
		}
		if err := encoder.Encode(answer); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		out.Flush()
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func respond(question *Question) (answer Answer) {
	defer func() {
		if fault := recover(); fault != nil {
			answer = Answer{Error: fmt.Sprintf("panic: %v\n%s", fault, debug.Stack())}
		}
	}()
	if question.Validate {
		return validate(question.Config)
	}
	world, err := newWorld(question)
	if err != nil {
		return Answer{Error: err.Error()}
	}
	defer world.close()
	if answer.Order, err = world.order(); err != nil {
		return Answer{Error: err.Error()}
	}
	for _, raw := range question.Probes {
		pod, err := world.pod(raw)
		if err != nil {
			return Answer{Error: err.Error()}
		}
		probe, err := world.probe(pod)
		if err != nil {
			return Answer{Error: fmt.Sprintf("pod %s/%s: %v", pod.Namespace, pod.Name, err)}
		}
		answer.Probes = append(answer.Probes, probe)
	}
	if len(question.Turns) > 0 {
		if answer.Queue, err = world.queued(question.Turns); err != nil {
			return Answer{Error: err.Error()}
		}
	}
	for i := range question.Steps {
		done, err := world.step(&question.Steps[i])
		if err != nil {
			return Answer{Error: fmt.Sprintf("step %d: %v", i, err)}
		}
		answer.Steps = append(answer.Steps, done)
	}
	return answer
}
