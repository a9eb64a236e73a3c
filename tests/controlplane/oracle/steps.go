package main

import (
	"encoding/json"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
)

// Step is one thing that happens: a pod is scheduled (and assumed if it finds a node), or the cluster changes.
type Step struct {
	Schedule   json.RawMessage `json:"schedule"`
	AddNode    json.RawMessage `json:"addNode"`
	UpdateNode json.RawMessage `json:"updateNode"`
	RemoveNode string          `json:"removeNode"`
	AddPod     json.RawMessage `json:"addPod"`
	DeletePod  string          `json:"deletePod"`
}

// Done is what came of a step: the decision on a pod that was to be scheduled, else nothing.
type Done struct {
	Pod string `json:"pod,omitempty"`
	Decision
}

func now() int64 { return time.Now().UnixNano() }

func (w *World) step(step *Step) (Done, error) {
	logger := klog.FromContext(w.ctx)
	switch {
	case step.Schedule != nil:
		return w.schedule(step.Schedule)
	case step.AddNode != nil, step.UpdateNode != nil:
		raw := step.AddNode
		if raw == nil {
			raw = step.UpdateNode
		}
		object, err := w.decode(raw)
		if err != nil {
			return Done{}, err
		}
		node, ok := object.(*v1.Node)
		if !ok {
			return Done{}, fmt.Errorf("is no node but %T", object)
		}
		if old := w.nodes[node.Name]; old != nil {
			w.sched.Cache.UpdateNode(logger, old, node)
			w.nodes[node.Name] = node
		} else {
			w.addNode(node)
		}
		return Done{}, w.factory.Core().V1().Nodes().Informer().GetIndexer().Update(node)
	case step.RemoveNode != "":
		node := w.nodes[step.RemoveNode]
		if node == nil {
			return Done{}, fmt.Errorf("no node is called %q", step.RemoveNode)
		}
		delete(w.nodes, step.RemoveNode)
		return Done{}, w.sched.Cache.RemoveNode(logger, node)
	case step.AddPod != nil:
		pod, err := w.pod(step.AddPod)
		if err != nil {
			return Done{}, err
		}
		return Done{}, w.addPod(pod)
	case step.DeletePod != "":
		pod := w.pods[step.DeletePod]
		if pod == nil {
			return Done{}, fmt.Errorf("no pod is called %q", step.DeletePod)
		}
		delete(w.pods, step.DeletePod)
		if err := w.factory.Core().V1().Pods().Informer().GetIndexer().Delete(pod); err != nil {
			return Done{}, err
		}
		return Done{}, w.sched.Cache.RemovePod(logger, pod)
	}
	return Done{}, fmt.Errorf("says nothing to do")
}

func (w *World) schedule(raw json.RawMessage) (Done, error) {
	pod, err := w.pod(raw)
	if err != nil {
		return Done{}, err
	}
	f, ok := w.sched.Profiles[pod.Spec.SchedulerName]
	if !ok {
		return Done{}, fmt.Errorf("no profile is called %q", pod.Spec.SchedulerName)
	}
	if err := w.pop(pod); err != nil {
		return Done{}, err
	}
	done := Done{Pod: keyOf(pod)}
	if done.Decision, err = w.decide(f, pod, nil); err != nil || done.Node == "" {
		return done, err
	}
	assumed := pod.DeepCopy()
	assumed.Spec.NodeName = done.Node
	w.pods[done.Pod] = assumed
	if err := w.factory.Core().V1().Pods().Informer().GetIndexer().Update(assumed); err != nil {
		return done, err
	}
	start := now()
	err = w.sched.Cache.AssumePod(klog.FromContext(w.ctx), assumed)
	done.Nanos += now() - start
	return done, err
}
