package main

import (
	"encoding/json"
	"fmt"
	"sort"

	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
)

// Turn is one thing that happens to the scheduling queue: a pod is added, updated or deleted, or the first one of
// those that may be scheduled is popped.
type Turn struct {
	Add    json.RawMessage `json:"add"`
	Update json.RawMessage `json:"update"`
	Delete string          `json:"delete"`
	Pop    bool            `json:"pop"`
}

// Queue is what came of all turns: the pods in the order of their popping ("" where none could be), and those that
// gates still hold.
type Queue struct {
	Popped []string `json:"popped"`
	Gated  []string `json:"gated"`
}

// queued plays the turns on the scheduler's own queue, with its own clock and its profiles' PreEnqueue plugins.
func (w *World) queued(turns []Turn) (*Queue, error) {
	queue, logger := w.sched.SchedulingQueue, klog.FromContext(w.ctx)
	waiting, answer := map[string]*v1.Pod{}, &Queue{}
	for i, turn := range turns {
		switch {
		case turn.Pop:
			if len(queue.PodsInActiveQ()) == 0 {
				answer.Popped = append(answer.Popped, "")
				continue
			}
			info, err := queue.Pop(logger)
			if err != nil {
				return nil, err
			}
			queue.Done(info.Pod.UID)
			delete(waiting, keyOf(info.Pod))
			answer.Popped = append(answer.Popped, keyOf(info.Pod))
		case turn.Delete != "":
			pod := waiting[turn.Delete]
			if pod == nil {
				return nil, fmt.Errorf("turn %d: %q does not wait", i, turn.Delete)
			}
			delete(waiting, turn.Delete)
			queue.Delete(pod)
		case turn.Add != nil:
			pod, err := w.pod(turn.Add)
			if err != nil {
				return nil, err
			}
			waiting[keyOf(pod)] = pod
			w.enqueue(pod)
		case turn.Update != nil:
			pod, err := w.pod(turn.Update)
			if err != nil {
				return nil, err
			}
			old := waiting[keyOf(pod)]
			if old == nil {
				return nil, fmt.Errorf("turn %d: %q does not wait", i, keyOf(pod))
			}
			waiting[keyOf(pod)] = pod
			w.requeue(old, pod)
		default:
			return nil, fmt.Errorf("turn %d says nothing to do", i)
		}
	}
	for _, pod := range queue.UnschedulablePods() {
		answer.Gated = append(answer.Gated, keyOf(pod))
	}
	sort.Strings(answer.Gated)
	return answer, nil
}

func keyOf(pod *v1.Pod) string { return pod.Namespace + "/" + pod.Name }

// pop sends a pod through the queue. A cycle begins so: batching tells by it that no other pod came between.
func (w *World) pop(pod *v1.Pod) error {
	queue, logger := w.sched.SchedulingQueue, klog.FromContext(w.ctx)
	w.enqueue(pod)
	if len(queue.PodsInActiveQ()) == 0 {
		queue.Delete(pod)
		return fmt.Errorf("pod %s is held back before the queue", keyOf(pod))
	}
	info, err := queue.Pop(logger)
	if err != nil {
		return err
	}
	queue.Done(info.Pod.UID)
	return nil
}
